"""A model, a picture, a method and a layer in; a heatmap with everything that it was computed from out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.explain import Explanation, display_size, explain, overlay
from convscope.explain.cam import sums_noted
from convscope.explain.methods import is_of_input
from convscope.registry import METHODS
from convscope.service.trace.edits import Edits, edited

# how `Explanation.heatmaps` goes from the map to the heat, for the page that does it again
UPSAMPLING = {"mode": "bilinear", "align_corners": False, "antialias": True, "order": "relu, /max, resize, /max"}


@dataclass(frozen=True, eq=False)
class Heat:
    """What a method found for one picture; `weights` (K,) where the map is a sum of the layer's channels."""

    found: Explanation
    weights: NDArray[np.float32] | None
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return self.found.maps.nbytes

    def as_json(self) -> dict[str, Any]:
        """As the API has it: the raw map, the weights, and the heat at the picture's size."""
        heat = self.found.heatmaps(self.size)[0]
        return {
            "method": self.found.method,
            "layer": self.found.layer,
            "target": int(self.found.targets[0]),
            "evidence": self.found.evidence[0],
            "shape": list(self.found.maps.shape[1:]),
            "map": self.found.maps[0].ravel().tolist(),
            "weights": None if self.weights is None else self.weights.tolist(),
            "size": list(self.size),
            "heat": heat.ravel().tolist(),
            "upsampling": UPSAMPLING,
        }

    def overlay(self, pixels: NDArray[np.uint8], alpha: float) -> NDArray[np.uint8]:
        """The picture with the heat laid over it, as `convscope explain` draws it, (3, H', W')."""
        return overlay(pixels, self.found.heatmaps(display_size(*self.size))[0], alpha).transpose(2, 0, 1)


def make_heat(
    model: nn.Module, x: Tensor, method: str, layer: str | None, target: int | None, edits: Edits = ()
) -> Heat:
    """Explain one picture (1, C, H, W); raises as `explain`."""
    with sums_noted() as noted:
        found = explain(edited(model, edits) if edits else model, x, target, layer, method)
    weights = None
    for weight, total in noted:  # one sum of channels, whose map is the method's own: not one that it goes on with
        if weight.shape[2:] == (1, 1) and np.array_equal(total.float().cpu().numpy(), found.maps):
            weights = weight[0].float().flatten().cpu().numpy()
    return Heat(found, weights, (x.shape[2], x.shape[3]))


def method_list() -> list[dict[str, Any]]:
    """Every method: its name, whether it looks at a layer, and the first sentence of what it says of itself."""
    return [
        {"name": name, "needs_layer": not is_of_input(METHODS.load(name)), "summary": _summary(METHODS.load(name))}
        for name in METHODS
    ]


def _summary(method: Any) -> str:
    return " ".join((method.__doc__ or "").split("\n\n")[0].split())
