"""A model and its training settings in, a PyTorch optimiser out."""

import torch
from torch import nn

from convscope.config import TrainConfig
from convscope.training.muon import Muon


def make_optimizer(model: nn.Module, config: TrainConfig, half: bool = False) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum (Sutskever et al. 2013), Adam, AdamW, or Muon (Jordan et al. 2024).

    Adam is by Kingma & Ba (2015), AdamW by Loshchilov & Hutter (2019).

    Weight decay applies to kernels and matrices only: shrinking a bias or BatchNorm's scale towards zero regularises
    nothing (Goyal et al. 2017, section 5.3), unless Muon is told otherwise. What needs no gradient stays as it is.

    Args:
        half: whether bfloat16 is fast here and exact enough for what the optimiser computes besides.
    """
    learned = [p for p in model.parameters() if p.requires_grad]
    weights = [p for p in learned if p.ndim > 1]
    offsets = [p for p in learned if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": offsets, "weight_decay": 0.0},
    ]
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
        case "adam":
            return torch.optim.Adam(groups, lr=config.lr)
        case "adamw":
            return torch.optim.AdamW(groups, lr=config.lr)
        case "muon":
            if config.bias_decay:
                groups[1]["weight_decay"] = config.weight_decay
            return Muon(
                groups,
                config.lr,
                config.momentum,
                config.bias_lr,
                config.head_lr,
                config.ns_steps,
                config.fixed_norm,
                torch.bfloat16 if half else None,
            )
