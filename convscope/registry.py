"""Names of models, data sets and explanation methods -> "module:attribute", imported only when asked for."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from convscope.errors import UsageError


class Registry(Mapping[str, str]):
    """A read-only table of lazy references: ``registry[name]`` is text, ``registry.load(name)`` the object."""

    def __init__(self, kind: str, references: dict[str, str]) -> None:
        self.kind = kind
        self._references = references

    def __getitem__(self, name: str) -> str:
        try:
            return self._references[name]
        except KeyError:
            raise UsageError(f"unknown {self.kind} {name!r}; choose from {', '.join(self._references)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._references

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for; UsageError lists the choices if there is no such name."""
        module, attribute = self[name].split(":")
        return getattr(import_module(module), attribute)


MODELS = Registry(
    "model",
    {
        "lenet5": "convscope.models.lenet5:LeNet5",
        "simple-cnn": "convscope.models.simple_cnn:SimpleCNN",
        "deep-cnn": "convscope.models.deep_cnn:DeepCNN",
        "tiny-resnet": "convscope.models.tiny_resnet:TinyResNet",
    },
)

DATASETS = Registry(
    "data set",
    {
        "digits": "convscope.data.digits:load_digits",
        "synthetic": "convscope.data.synthetic:load_synthetic",
        "shapes": "convscope.data.shapes:load_shapes",
        "folder": "convscope.data.folder:load_folder",
        "cifar10": "convscope.data.cifar:load_cifar10",
        "cifar100": "convscope.data.cifar:load_cifar100",
        "mnist": "convscope.data.mnist:load_mnist",
        "fashion-mnist": "convscope.data.mnist:load_fashion_mnist",
    },
)

METHODS = Registry(
    "explanation method",
    {
        "grad-cam": "convscope.explain.cam:grad_cam",
        "grad-cam++": "convscope.explain.cam:grad_cam_plus_plus",
        "hires-cam": "convscope.explain.cam:hires_cam",
        "x-grad-cam": "convscope.explain.cam:x_grad_cam",
        "layer-cam": "convscope.explain.cam:layer_cam",
        "score-cam": "convscope.explain.perturbation:score_cam",
        "ablation-cam": "convscope.explain.perturbation:ablation_cam",
        "eigen-cam": "convscope.explain.projections:eigen_cam",
        "cam": "convscope.explain.projections:cam",
        "saliency": "convscope.explain.gradients:saliency",
        "input-x-gradient": "convscope.explain.gradients:input_x_gradient",
        "integrated-gradients": "convscope.explain.gradients:integrated_gradients",
        "smooth-grad": "convscope.explain.gradients:smooth_grad",
        "guided-backprop": "convscope.explain.guided:guided_backprop",
        "guided-grad-cam": "convscope.explain.guided:guided_grad_cam",
        "occlusion": "convscope.explain.perturbation:occlusion",
    },
)
