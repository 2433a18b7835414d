"""Each classic mistake, made, is named."""

import re

import pytest
import torch
from torch import Tensor

from convscope.training import check_batch
from convscope.training.checks import mistakes

GOOD = torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 2])
WITH_NAN = GOOD.clone()
WITH_NAN[1, 2, 3, 4] = float("nan")


def test_a_proper_batch_passes() -> None:
    check_batch(GOOD, LABELS, (3, 6, 5), 3)
    check_batch(GOOD.half(), LABELS, (3, 6, 5), 3)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ((GOOD * 50).clamp(0, 255).to(torch.uint8), LABELS, "the pictures are torch.uint8"),
        ((GOOD.abs() * 60).clamp(0, 255), LABELS, "not normalised.*as if still on [0, 255]"),
        (GOOD.sigmoid(), LABELS, "not normalised.*as if still on [0, 1]"),
        (GOOD.permute(0, 2, 3, 1), LABELS, "channels-last (4, 6, 5, 3)"),
        (GOOD[:, :, :, :4], LABELS, "the pictures are (4, 3, 6, 4); the model expects (N, C, H, W) with (3, 6, 5)"),
        (GOOD[0], LABELS, "the pictures are (3, 6, 5)"),
        (WITH_NAN, LABELS, "NaN"),
        (GOOD, LABELS.float(), "the labels are torch.float32; cross-entropy expects int64"),
        (
            GOOD,
            torch.eye(3, dtype=torch.int64)[LABELS],
            "the labels are one-hot (4, 3); pass class numbers: labels.argmax",
        ),
        (GOOD, torch.eye(3)[LABELS], "the labels are one-hot (4, 3); pass class numbers: labels.argmax(dim=1)"),
        (GOOD, LABELS[:, None], "the labels have shape (4, 1); expected one a picture, (4,)"),
        (GOOD, LABELS + 1, "the labels run from 1 to 3; a model with 3 classes expects 0 to 2"),
        (GOOD, LABELS - 1, "the labels run from -1 to 1"),
    ],
)
def test_a_mistake_is_named(images: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message).replace(r"\.\*", ".*")):
        check_batch(images, labels, (3, 6, 5), 3)


def test_every_mistake_is_listed_not_only_the_first() -> None:
    bytes_last = (GOOD * 50).to(torch.uint8).permute(0, 2, 3, 1)
    found = {m.about: m.seen for m in mistakes(bytes_last, LABELS.float(), (3, 6, 5), 3)}
    assert found == {
        "values": "the pictures are torch.uint8",
        "layout": "the pictures are channels-last (4, 6, 5, 3)",
        "labels": "the labels are torch.float32",
    }
    assert list(mistakes(GOOD, LABELS, (3, 6, 5), 3)) == []


def test_without_a_number_of_classes_only_negative_labels_are_out_of_range() -> None:
    assert list(mistakes(GOOD, LABELS + 100, (3, 6, 5), None)) == []
    assert [m.seen for m in mistakes(GOOD, LABELS - 1, (3, 6, 5), None)] == ["the labels run from -1 to 1"]
