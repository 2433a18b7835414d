import pytest

from convscope.errors import UsageError
from convscope.registry import DATASETS, METHODS, MODELS, Registry


@pytest.mark.parametrize("registry", [MODELS, DATASETS, METHODS], ids=lambda r: r.kind)
def test_every_reference_leads_somewhere(registry: Registry) -> None:
    for name in registry:
        assert callable(registry.load(name))


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(UsageError, match=r"unknown model 'lenet'; choose from lenet5, simple-cnn"):
        MODELS["lenet"]
    with pytest.raises(ValueError, match="unknown data set 'imagenet'"):
        DATASETS.load("imagenet")
    assert "lenet" not in MODELS
