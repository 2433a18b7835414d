"""The one normalisation: (x / 255 - mean) / std, and errors that show the shapes."""

import numpy as np
import pytest
import torch

from convscope.preprocess import preprocess


@pytest.mark.parametrize(
    ("shape", "mean", "std"),
    [((4, 3, 5, 7), (0.49, 0.48, 0.45), (0.247, 0.243, 0.262)), ((2, 1, 9, 4), (0.13,), (0.31,))],
)
def test_bytes_are_scaled_centred_and_divided(
    shape: tuple[int, ...], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    images[0, 0, 0, :2] = torch.tensor([0, 255], dtype=torch.uint8)
    found = preprocess(images, mean, std)
    assert found.dtype == torch.float32
    m, s = (np.array(values).reshape(1, -1, 1, 1) for values in (mean, std))
    np.testing.assert_allclose(found, (images.numpy() / 255.0 - m) / s, atol=1e-6)


def test_a_channel_that_never_varied_is_only_centred() -> None:
    images = torch.full((1, 2, 3, 3), 51, dtype=torch.uint8)
    np.testing.assert_allclose(preprocess(images, (0.2, 0.1), (0.0, 0.5))[0, :, 0, 0], [0.0, 0.2], atol=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 4, 5), r"expected uint8 \(N, C, H, W\), got torch.float32 \(2, 3, 4, 5\)"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8), r"got torch.uint8 \(3, 4, 5\)"),
        (
            torch.zeros(2, 1, 4, 5, dtype=torch.uint8),
            r"1 channels \(input \(2, 1, 4, 5\)\), the normalisation has 3 means and 3 standard",
        ),
    ],
)
def test_wrong_input_is_shown(images: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preprocess(images, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
