"""A configuration in, the sizes that training pictures grow through out."""

from convscope.config import TrainConfig
from convscope.data.batches import Batches
from convscope.errors import UsageError
from convscope.models.base import ImageClassifier, layer_shapes


def epoch_sizes(settings: TrainConfig, full: tuple[int, int]) -> list[tuple[int, int]]:
    """(height, width) of the training pictures in each epoch; [] where they keep their own, `full`.

    The last epoch always has the last size; fewer epochs than sizes leave out the first ones.

    Raises:
        UsageError: the last size is not the pictures' own, which is what the network will be used on.
    """
    height, width = full
    if settings.sizes is None:
        return []
    if not settings.sizes or settings.sizes[-1] != height:
        raise UsageError(
            f"train.sizes={list(settings.sizes)} must end with the pictures' own height, {height}, on which the "
            "network will be used"
        )
    sizes = settings.sizes[-settings.epochs :]
    turns = [sizes[epoch * len(sizes) // settings.epochs] for epoch in range(settings.epochs)]
    return [(turn, max(1, round(turn * width / height))) for turn in turns]


def check_sizes(model: ImageClassifier, batches: Batches) -> None:
    """UsageError where the network cannot take pictures of every size that they will have."""
    for size in dict.fromkeys(batches.sizes):
        try:
            layer_shapes(model, (model.in_shape[0], *size))
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"train.sizes: {type(model).__name__} cannot take pictures of {size[0]}×{size[1]}: either they are too "
                f"small for it, or it was made for one size, {model.in_shape[1]}×{model.in_shape[2]} ({reason})"
            ) from None
