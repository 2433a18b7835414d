"""Progress of a training: records in, a tqdm bar and one line an epoch out, on standard error."""

import sys
import time
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
    """

    def __init__(self, epochs: int, steps_per_epoch: int, done: int = 0, enabled: bool = True) -> None:
        self.epochs, self.total, self.done, self.enabled = epochs, epochs * steps_per_epoch, done, enabled
        self.started = time.perf_counter()
        self.bar = tqdm(
            total=self.total,
            initial=done,
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
            self.bar.update()
        elif self.enabled:
            self.images, self.since = 0, time.perf_counter()
            elapsed = time.perf_counter() - self.started
            left = elapsed / max(record.step - self.done, 1) * (self.total - record.step)
            validation = "" if record.val_accuracy is None else f"  validation {record.val_accuracy:6.1%}"
            tqdm.write(
                f"epoch {record.epoch:>{len(str(self.epochs))}}/{self.epochs}  loss {record.train_loss:.3f}  "
                f"accuracy {record.train_accuracy:6.1%}{validation}  {record.images_per_second:,.0f} images/s  "
                f"{tqdm.format_interval(left)} left",
                file=sys.stderr,
            )
