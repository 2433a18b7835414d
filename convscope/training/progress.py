"""Progress of a training: records in, a tqdm bar and one line an epoch out, on standard error."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tqdm import tqdm

from convscope.training.fit import Epoch, Step


class Progress:
    """Shows loss, accuracy, images a second and the time left; a bar on a terminal, lines alone in a log.

    Args:
        epochs, steps_per_epoch: of the whole run.
        done: steps of it that were taken before.
        enabled: False shows nothing.
        work: how much a step of each epoch computes, in any unit: pictures that grow take longer from epoch to epoch.
    """

    def __init__(
        self, epochs: int, steps_per_epoch: int, done: int = 0, enabled: bool = True, work: Sequence[float] = ()
    ) -> None:
        self.epochs, self.steps_per_epoch, self.enabled = epochs, steps_per_epoch, enabled
        self.work = list(work) or [1.0] * epochs
        self.total, self.done = self._work_of(epochs * steps_per_epoch), self._work_of(done)
        self.started = time.perf_counter()
        self.bar = tqdm(
            total=self.total,
            initial=self.done,
            file=sys.stderr,
            unit="step",
            leave=False,
            dynamic_ncols=True,
            disable=None if enabled else True,  # None: only on a terminal
            bar_format="{desc} |{bar}| {remaining} left",
        )
        self.images, self.since = 0, self.started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def _work_of(self, steps: int) -> float:
        """Of the first `steps` steps of the run."""
        whole, more = divmod(steps, self.steps_per_epoch)
        return sum(self.work[:whole]) * self.steps_per_epoch + (self.work[whole] * more if more else 0.0)

    def show(self, record: Step | Epoch) -> None:
        """One step of the bar, or the line of an epoch."""
        if isinstance(record, Step):
            self.images += record.images
            rate = self.images / max(time.perf_counter() - self.since, 1e-9)
            self.bar.set_description_str(
                f"epoch {record.epoch + 1}/{self.epochs}  loss {record.loss:.3f}  accuracy {record.accuracy:.1%}  "
                f"{rate:,.0f} images/s",
                refresh=False,
            )
            self.bar.update(self.work[record.epoch])
        elif self.enabled:
            self.images, self.since = 0, time.perf_counter()
            elapsed = time.perf_counter() - self.started
            finished = self._work_of(record.step)
            left = elapsed * (self.total - finished) / max(finished - self.done, 1e-9)
            validation = "" if record.val_accuracy is None else f"  validation {record.val_accuracy:6.1%}"
            tqdm.write(
                f"epoch {record.epoch:>{len(str(self.epochs))}}/{self.epochs}  loss {record.train_loss:.3f}  "
                f"accuracy {record.train_accuracy:6.1%}{validation}  {record.images_per_second:,.0f} images/s  "
                f"{tqdm.format_interval(left)} left",
                file=sys.stderr,
            )
