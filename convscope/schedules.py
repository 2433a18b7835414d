"""Learning-rate schedules: a step's number in, its learning rate out; pure functions, so nothing to resume."""

import math

from convscope.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of optimiser step `step` (counted from 0 over the whole run).

    A linear warm-up over ``config.warmup`` epochs, but at most half of the run, reaches ``config.lr`` at its last
    step. Then, with t going from 0 to 1 over what is left:

    - ``cosine``: lr (1 + cos πt) / 2 (Loshchilov & Hutter 2017, eq. 5, without restarts)
    - ``linear``: lr (1 − t)
    - ``step``: lr γ^k, k counting every `step_size` whole epochs since the start of the run
    - ``constant``: lr
    """
    warmup_steps = round(min(config.warmup, config.epochs / 2) * steps_per_epoch)
    if step < warmup_steps:
        return config.lr * (step + 1) / warmup_steps
    t = (step - warmup_steps) / (config.epochs * steps_per_epoch - warmup_steps)
    match config.schedule:
        case "cosine":
            return config.lr * (1 + math.cos(math.pi * t)) / 2
        case "linear":
            return config.lr * (1 - t)
        case "step":
            return config.lr * config.gamma ** (step // steps_per_epoch // config.step_size)
        case "constant":
            return config.lr
