"""The loop that teaches: batches in, records out; it knows no file, tracker, progress bar or signal."""

from convscope.schedules import learning_rate
from convscope.training.checks import check_batch
from convscope.training.fit import Epoch, Step, TrainState, fit
from convscope.training.optimizers import make_optimizer
from convscope.training.precision import Arithmetic

__all__ = ["Arithmetic", "Epoch", "Step", "TrainState", "check_batch", "fit", "learning_rate", "make_optimizer"]
