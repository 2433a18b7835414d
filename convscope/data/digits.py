"""scikit-learn's handwritten digits, which need no network -> 1,437 training and 360 test pictures."""

from pathlib import Path

import numpy as np

from convscope.data.image_set import ImageSet

TEST_PICTURES = 360  # 20 %: 36 of each digit
SPLIT_SEED = 0  # fixed, whatever the run's seed: all runs are tested on the same pictures


def load_digits(data_dir: Path | None = None) -> tuple[ImageSet, ImageSet]:
    """Real handwritten digits, grey, 8×8 pixels, ten classes, (1,437, 360) pictures.

    The 1,797 pictures that scikit-learn brings along are the test part of Alpaydin and Kaynak, "Optical
    Recognition of Handwritten Digits", UCI, 1998, by 13 writers. They come without a split of their own; ours
    draws 36 of each digit, so both parts show all writers: the test accuracy says how well new digits of
    known hands are read. Their 17 grey levels are spread over 0..255 by ``round(v * 255 / 16)``.

    Args:
        data_dir: not used, the pictures lie inside scikit-learn.
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    levels = np.asarray(bunch.images, dtype=np.float64)  # (1797, 8, 8), 0..16
    images = np.round(levels * 255 / 16).astype(np.uint8)[:, None]  # (1797, 1, 8, 8)
    classes = tuple(str(digit) for digit in range(10))
    pictures = ImageSet(images, np.asarray(bunch.target, dtype=np.int64), classes)
    return pictures.split(TEST_PICTURES, SPLIT_SEED, balanced=True)
