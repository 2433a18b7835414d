"""What an audit is doing in; a line a stage on standard error out, and on a terminal what it is at within the stage."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm


class Progress:
    """Shows how far an audit is.

    Args:
        stages: how many there will be.
        enabled: False shows nothing.
    """

    def __init__(self, stages: int, enabled: bool = True) -> None:
        self.stages, self.enabled = stages, enabled
        self.started = self.since = time.perf_counter()
        self.stage = ""
        self.number = 0
        self.bar = tqdm(
            total=stages,
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
            disable=None if enabled else True,  # None: only on a terminal
            bar_format="{desc} |{bar}| {elapsed}",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.begin("")
        self.bar.close()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self.started

    def begin(self, stage: str) -> None:
        """The stage before is done; this one begins."""
        now = time.perf_counter()
        if self.stage and self.enabled:
            line = f"audit {self.number}/{self.stages}  {self.stage}  {now - self.since:.0f} s"
            tqdm.write(line, file=sys.stderr)
            self.bar.update()
        self.stage, self.since, self.number = stage, now, self.number + 1
        self.tell("")

    def tell(self, detail: str) -> None:
        """What is being done within the stage."""
        self.bar.set_description_str(f"{self.stage}: {detail}" if detail else self.stage)
