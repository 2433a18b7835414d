"""A network and one of its layers in; Grad-CAM of it by convscope, by hand and by other packages out, all of one form.

The packages come with `pip install convscope[bench]`. Each has a network of its own, since some leave hooks on it, and
is set up beforehand; only what a further picture costs is timed.
"""

import copy
import warnings
from collections.abc import Callable
from importlib.metadata import version

import torch
from torch import Tensor, nn

from convscope.errors import UsageError
from convscope.explain import explain

# pictures (N, C, H, W) and their classes, int64 (N,) -> maps (N, h, w) at the layer's resolution
GradCam = Callable[[Tensor, Tensor], Tensor]
OURS, BARE = "convscope", "by hand"


def ours(model: nn.Module, layer: str) -> GradCam:
    """`convscope.explain`."""
    return lambda images, targets: torch.from_numpy(explain(model, images, targets, layer).maps)


def bare(model: nn.Module, layer: str) -> GradCam:
    """What Grad-CAM cannot do without: no gradient before the layer, one from the logits to it, the weighted sum."""
    before, after = split(model, layer)

    def grad_cam(images: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            activation = before(images)
        activation.requires_grad_()
        chosen = after(activation).gather(1, targets[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, activation)
        return (gradient.mean(dim=(2, 3), keepdim=True) * activation.detach()).sum(dim=1)

    return grad_cam


def captum(model: nn.Module, layer: str) -> GradCam:
    """`LayerGradCam`, signed."""
    from captum.attr import LayerGradCam

    grad_cam = LayerGradCam(model, model.get_submodule(layer))
    return lambda images, targets: grad_cam.attribute(images, target=targets)[:, 0].detach()


def torch_cam(model: nn.Module, layer: str) -> GradCam:
    """`GradCAM`, whose hooks stay on the model; it cuts off what is negative."""
    from torchcam.methods import GradCAM

    extractor = GradCAM(model, target_layer=layer)

    def grad_cam(images: Tensor, targets: Tensor) -> Tensor:
        scores = model(images)
        (maps,) = extractor(targets.tolist(), scores, normalized=False)
        return maps.detach()

    return grad_cam


PEERS = {"captum": captum, "torchcam": torch_cam}  # under the names that they are installed by


def split(model: nn.Module, layer: str) -> tuple[nn.Sequential, nn.Sequential]:
    """The model in two: up to the end of `layer`, and what follows; UsageError if not all around it is a sequence."""
    module, before, after = model, list[nn.Module](), list[nn.Module]()
    for name in layer.split("."):
        if not isinstance(module, nn.Sequential):
            raise UsageError(f"{layer} lies inside a {type(module).__name__}, which cannot be cut in two by hand")
        names = [name for name, _ in module.named_children()]
        place, children = names.index(name), list(module.children())
        before, module, after = before + children[:place], children[place], children[place + 1 :] + after
    return nn.Sequential(*before, module), nn.Sequential(*after)


def installed() -> dict[str, str]:
    """The peers that can be imported and their versions; a line for each that cannot."""
    found = {}
    tiny = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(32, 2)).eval()
    for name, build in PEERS.items():
        try:
            build(copy.deepcopy(tiny), "0")
        except ImportError as error:
            print(f"{name} is left out ({error}): pip install 'convscope[bench]'")
        else:
            found[name] = version(name)
    return found


def ways(model: nn.Module, layer: str, peers: list[str]) -> dict[str, GradCam]:
    """Ours, by hand, and the peers, each on a copy of the model in eval mode."""
    builders = {OURS: ours, BARE: bare} | {name: PEERS[name] for name in peers}
    with warnings.catch_warnings(action="ignore"):
        return {name: build(copy.deepcopy(model).eval(), layer) for name, build in builders.items()}


def normalised(maps: Tensor) -> Tensor:
    """What is positive of each map (N, h, w), divided by its largest value; an empty map stays empty."""
    positive = maps.clamp(min=0)
    top = positive.amax(dim=(1, 2), keepdim=True)
    return positive / torch.where(top > 0, top, 1.0)


def differences(ways: dict[str, GradCam], images: Tensor, targets: Tensor) -> dict[str, float]:
    """The largest difference of each way's normalised maps from ours.

    Raises:
        UsageError: most of our maps are empty, and would agree with anything.
    """
    own = normalised(ways[OURS](images, targets))
    if (own.amax(dim=(1, 2)) > 0).float().mean() < 0.5:
        raise UsageError("most maps are empty: choose other pictures or classes to compare")
    return {
        name: float((normalised(way(images, targets)) - own).abs().max()) for name, way in ways.items() if name != OURS
    }
