"""How far a long command is in; a bar on standard error out, where that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from tqdm import tqdm


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Gives what is to be called with (done, total); the bar comes with the first call that leaves something to do."""
    bar: tqdm[Never] | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None and done < total:
            from tqdm import tqdm

            bar = tqdm(total=total, file=sys.stderr, unit=unit, leave=False, dynamic_ncols=True, disable=None)
        if bar is not None:
            bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()
