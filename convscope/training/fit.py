"""The training loop: a TrainState and Batches in, a stream of plain records out, one a step and one an epoch."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor, nn

from convscope.config import TrainConfig
from convscope.data.batches import Batches, derive_seed
from convscope.errors import ConvscopeError
from convscope.schedules import learning_rate
from convscope.training.checks import check_batch
from convscope.training.engine import Engine, make_engine
from convscope.training.precision import Arithmetic


@dataclass(frozen=True)
class Step:
    """What one optimiser step did; loss and accuracy are the running means of the epoch so far."""

    epoch: int
    step: int
    loss: float
    accuracy: float
    lr: float
    images: int


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: a row of `metrics.csv`. Validation values are None where nothing is held out.

    Training loss and accuracy are means over the epoch, in train mode, augmented, while the weights were changing.
    `seconds` is the epoch's training time without validation.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    lr: float
    seconds: float
    images_per_second: float

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """An epoch from its row in `metrics.csv`, whose cells are all floats or None."""
        return cls(**{**row, "epoch": int(row["epoch"]), "step": int(row["step"])})


@dataclass
class TrainState:
    """All that changes while a network learns; `state_dict()` is all that resuming needs.

    Attributes:
        model: being trained, or the one whose NumPy counterpart is.
        config: the training settings.
        in_shape, num_classes: what the first batch is checked against.
        arithmetic: the numbers and the memory layout of a step.
        engine: what computes it.
        epoch: whole epochs done.
        step: optimiser steps done, over the whole run.
        epoch_step: steps done in the current epoch.
        loss_sum, correct, seen: running sums over the current epoch.
        seconds: training time spent in the current epoch.
    """

    model: nn.Module
    config: TrainConfig
    in_shape: tuple[int, int, int]
    num_classes: int
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    engine: Engine = field(init=False)
    epoch: int = 0
    step: int = 0
    epoch_step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.engine = make_engine(self.model, self.config, self.arithmetic)

    _COUNTERS = ("epoch", "step", "epoch_step", "loss_sum", "correct", "seen", "seconds")

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and values: `model_state`, `optimizer_state`, `schedule_state` with the counters."""
        state = self.engine.state_dict()
        counters = {name: getattr(self, name) for name in self._COUNTERS}
        return state | {"schedule_state": counters | {"scaler": state.pop("scaler")}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ConvscopeError: it is of another model or optimiser, or damaged.
        """
        counters = state["schedule_state"]
        try:
            self.engine.load_state_dict(state | {"scaler": counters["scaler"]})
            for name in self._COUNTERS:
                setattr(self, name, type(getattr(self, name))(counters[name]))
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConvscopeError(f"the saved training state cannot be taken up: {reason}") from None


def fit(state: TrainState, batches: Batches) -> Iterator[Step | Epoch]:
    """Train `state.model` on `batches` until ``state.config.epochs`` are done, yielding a record after each step.

    Order, augmentation and dropout of a step derive from (seed, epoch, step) alone, so stopping anywhere and going on
    from `state` gives what an unbroken run gives. The global random state is left as it was.

    Raises:
        UsageError: the first batch shows a classic mistake (see `check_batch`).
        ConvscopeError: the loss is no longer a number; the message says at which step.
    """
    config = state.config
    unchecked = True
    steps = config.epochs * batches.steps_per_epoch
    while state.epoch < config.epochs:
        started = time.perf_counter()
        last: list[tuple[Tensor, Tensor]] = []
        for images, labels in batches.train(state.epoch, start=state.epoch_step):
            if unchecked:
                size = batches.size(state.epoch) or state.in_shape[1:]
                check_batch(images, labels, (state.in_shape[0], *size), state.num_classes)
                unchecked = False
            last = [(images, labels)]
            lr = learning_rate(config, state.step, batches.steps_per_epoch)
            seed = derive_seed("dropout", config.seed, state.epoch, state.epoch_step)
            loss, correct = state.engine.step(images, labels, lr, seed)
            if not math.isfinite(loss):
                raise diverged(state.epoch, state.step + 1, steps, f"the loss became {loss}")
            state.step += 1
            state.epoch_step += 1
            state.loss_sum += loss * len(labels)
            state.correct += correct
            state.seen += len(labels)
            now = time.perf_counter()
            state.seconds += now - started
            yield Step(
                epoch=state.epoch,
                step=state.step,
                loss=state.loss_sum / state.seen,
                accuracy=state.correct / state.seen,
                lr=lr,
                images=len(labels),
            )
            started = time.perf_counter()  # what the reader of the records does is not training time
        val_loss, val_accuracy = validate(state.engine, batches.val())
        # the last step's loss was computed before its update; this one sees what that update did
        last = last or [next(batches.train(state.epoch, start=batches.steps_per_epoch - 1))]
        after = validate(state.engine, iter(last))[0] if val_loss is None else val_loss
        if after is not None and not math.isfinite(after):
            raise diverged(state.epoch, state.step, steps, f"after its update the loss is {after}")
        record = Epoch(
            epoch=state.epoch + 1,
            step=state.step,
            train_loss=state.loss_sum / state.seen,
            train_accuracy=state.correct / state.seen,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            lr=learning_rate(config, state.step - 1, batches.steps_per_epoch),
            seconds=state.seconds,
            images_per_second=state.seen / state.seconds,
        )
        state.epoch += 1
        state.epoch_step = state.correct = state.seen = 0
        state.loss_sum = state.seconds = 0.0
        yield record


def diverged(epoch: int, step: int, steps: int, what: str) -> ConvscopeError:
    """The error of a training that has left the numbers, after so many whole epochs, in that step of the run's."""
    return ConvscopeError(
        f"{what} in epoch {epoch + 1}, step {step} of {steps}; what was saved after earlier epochs is intact: "
        "try a smaller train.lr or a longer train.warmup"
    )


def validate(engine: Engine, batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[float | None, float | None]:
    """(mean cross-entropy, accuracy) in eval mode, without label smoothing; None each where there are no pictures."""
    loss_sum, correct, seen = 0.0, 0, 0
    for images, labels in batches:
        loss, right = engine.measure(images, labels)
        loss_sum, correct, seen = loss_sum + loss, correct + right, seen + len(labels)
    return (loss_sum / seen, correct / seen) if seen else (None, None)
