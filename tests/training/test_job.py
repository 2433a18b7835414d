"""What a configuration is made ready into: sizes that grow, first layers computed from the pictures."""

import pytest
import torch

from convscope.config import load_config
from convscope.errors import UsageError
from convscope.layers import Whitening
from convscope.training.job import prepare
from convscope.training.sizes import epoch_sizes

QUICK = ("data.subset=60", "train.epochs=5", "train.batch_size=20")


@pytest.mark.parametrize(
    ("sizes", "heights"),
    [
        ("[8]", [8] * 5),
        ("[4, 8]", [4, 4, 4, 8, 8]),
        ("[4, 6, 8]", [4, 4, 6, 6, 8]),
        ("[2, 4, 6, 7, 8]", [2, 4, 6, 7, 8]),
        ("[1, 2, 3, 4, 5, 6, 8]", [3, 4, 5, 6, 8]),
    ],
)
def test_sizes_take_equal_shares_of_the_epochs(sizes: str, heights: list[int]) -> None:
    job = prepare(load_config("digits", [*QUICK, f"train.sizes={sizes}"]))
    assert job.batches.sizes == tuple((height, height) for height in heights)
    for epoch, height in enumerate(heights):
        assert next(job.batches.train(epoch))[0].shape == (20, 1, height, height)


def test_the_width_follows_the_height() -> None:
    config = load_config("digits", ["train.epochs=4", "train.sizes=[11, 33]"]).train
    assert epoch_sizes(config, (33, 47)) == [(11, 16), (11, 16), (33, 47), (33, 47)]


@pytest.mark.parametrize("sizes", ["[4, 6]", "[8, 4]", "[]"])
def test_the_last_size_is_that_of_use(sizes: str) -> None:
    with pytest.raises(UsageError, match=r"train\.sizes=.* must end with .* own height, 8"):
        prepare(load_config("digits", [*QUICK, f"train.sizes={sizes}"]))


@pytest.mark.parametrize("model", ["lenet5", "simple-cnn", "deep-cnn"])
def test_a_network_for_one_size_is_told_so(model: str) -> None:
    with pytest.raises(UsageError, match=r"train\.sizes: .* cannot take pictures of 16×16: .* one size, 32×32"):
        prepare(load_config("synthetic", [f"model.name={model}", "train.sizes=[16, 32]", "train.epochs=2"]))


def test_a_network_for_larger_pictures_is_told_so() -> None:
    fast = ["model.groups=pooled", "model.stem_pool=2", "train.epochs=2"]
    with pytest.raises(UsageError, match=r"train\.sizes: .* cannot take pictures of 6×6: either they are too small"):
        prepare(load_config("synthetic", [*fast, "train.sizes=[6, 32]"]))


def test_early_stopping_and_growing_pictures_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"train\.patience cannot wait while train\.sizes"):
        prepare(load_config("digits", [*QUICK, "train.sizes=[4, 8]", "train.patience=1"]))


def test_a_whitening_layer_is_computed_from_the_training_pictures() -> None:
    job = prepare(load_config("synthetic", ["model.stem=whitening", "train.epochs=1"]))
    layer = job.state.model.get_submodule("stem.whitening")
    assert isinstance(layer, Whitening)
    y = torch.cat([layer(images) for images, _ in job.batches.train(0)])[:, :12].transpose(0, 1).flatten(1)
    covariance = (y @ y.T / y.shape[1]).detach()
    assert covariance.diagonal().min() > 0.9
    assert (covariance - torch.diag(covariance.diagonal())).abs().max() < 0.02
