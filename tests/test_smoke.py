"""The smoke check passes on a working machine and fails when learning is broken."""

from convscope.smoke import Smoke, smoke


def test_it_passes_and_is_the_same_each_time() -> None:
    first, second = smoke(), smoke()
    assert first.ok
    assert len(first.losses) == 5
    assert (first.losses, first.test_accuracy) == (second.losses, second.test_accuracy)


def test_a_network_that_cannot_learn_fails() -> None:
    result = smoke(train__lr=1e-9)
    assert not result.ok
    assert result.test_accuracy < 0.6


def test_both_conditions_count() -> None:
    assert Smoke((2.0, 0.5), 0.95, 1.0).ok
    assert not Smoke((2.0, 1.5), 0.95, 1.0).ok  # the loss did not fall
    assert not Smoke((2.0, 0.5), 0.85, 1.0).ok  # the accuracy is too low
