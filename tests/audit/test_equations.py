"""The equations hold on networks of every kind; each wrong method, in place of the right one, breaks one of them."""

import pytest
import torch

from convscope.audit.differences import ALLOWED
from convscope.audit.equations import EQUATIONS, try_all
from convscope.audit.maps import explain_all
from convscope.audit.oracle import apart
from convscope.explain import cam as cams
from convscope.explain.capture import as_eval_copy, class_gradient
from convscope.explain.gradients import input_gradient, input_x_gradient, integrated_gradients, smooth_grad
from convscope.explain.guided import _guided_gradient, _strongest, guided_grad_cam
from convscope.explain.methods import of_input
from convscope.explain.perturbation import ablation_cam, occlusion, score_cam
from convscope.explain.projections import cam, eigen_cam
from convscope.registry import METHODS


def tried(subject, *methods):
    """The oracles about `methods`, by name."""
    maps, _ = explain_all(subject, methods or None)
    return {oracle.name: oracle for oracle in try_all(subject, list(maps.values()))}


def test_all_hold_on_a_trained_network(digits_subject):
    oracles = tried(digits_subject)
    assert {name: o.measured and o.measured.error for name, o in oracles.items() if o.ok is False} == {}
    assert {name for name, o in oracles.items() if o.ok is None} == set()
    assert len(oracles) == len(EQUATIONS) + len(METHODS)
    named = {method for oracle in oracles.values() for method in oracle.methods}
    assert named == set(METHODS)
    for oracle in oracles.values():
        assert oracle.measured is not None
        assert oracle.measured.allowed in (2.0**-30, ALLOWED, 1e-3)


@pytest.mark.parametrize(
    ("name", "shape", "options", "skipped"),
    [
        ("lenet5", (1, 17, 22), {}, {"HiResCAM adds up": "not linear"}),
        ("simple-cnn", (3, 12, 17), {"initial_channels": 6}, {"HiResCAM adds up": "not linear"}),
        ("deep-cnn", (3, 33, 40), {"initial_channels": 4, "num_blocks": 3}, {"HiResCAM adds up": "not linear"}),
        ("tiny-resnet", (3, 12, 15), {"base_channels": 5}, {}),
        pytest.param("tiny-resnet", (3, 12, 15), {"base_channels": 5, "skip": False}, {}, marks=pytest.mark.slow),
        (
            "tiny-resnet",
            (3, 20, 24),
            {"base_channels": 8, "widen1": 2, "stem": "whitening", "stem_convs": 2, "stem_pool": 2, "groups": "pooled",
             "head_pool": "max", "activation": "gelu"},
            {},
        ),
    ],
)  # fmt: skip
def test_they_hold_on_every_kind_of_network_or_say_why_not(untrained, name, shape, options, skipped):
    oracles = tried(untrained(name, shape, **options))
    wrong = {n: o.measured and (o.measured.error, o.measured.note) for n, o in oracles.items() if o.ok is False}
    assert wrong == {}
    reasons = {n: o.skipped for n, o in oracles.items() if o.ok is None}
    assert reasons.keys() - {"Grad-CAM is classic CAM"} == skipped.keys()
    for oracle, reason in skipped.items():
        assert reason in reasons[oracle]
    if "Grad-CAM is classic CAM" in reasons:
        assert "classic CAM needs global average pooling" in reasons["Grad-CAM is classic CAM"]


def wrong_grad_cam(model, layer, images, targets):
    """The weights are sums, not means: the mistake of a forgotten h·w."""
    activation, gradient = cams._at(model, layer, images, targets)
    return cams.weighted_sum(gradient.sum(dim=(2, 3), keepdim=True), activation)


def predicted_grad_cam(model, layer, images, targets):
    """It explains the class with the highest logit, whatever was asked for; here one class further."""
    return cams.grad_cam(model, layer, images, (targets + 1) % 2)


def undivided_grad_cam_plus_plus(model, layer, images, targets):
    """As in a library of 2026: the denominator is never applied."""
    activation, gradient = cams._at(model, layer, images, targets)
    weights = (gradient.square() * gradient.clamp(min=0)).sum(dim=(2, 3), keepdim=True)
    return cams.weighted_sum(weights, activation)


def positive_hires_cam(model, layer, images, targets):
    activation, gradient = cams._at(model, layer, images, targets)
    return (activation * gradient).clamp(min=0).sum(dim=1)


def softened_x_grad_cam(model, layer, images, targets):
    """An epsilon that swamps what it should only guard."""
    activation, gradient = cams._at(model, layer, images, targets)
    weights = (activation * gradient).sum(dim=(2, 3)) / (activation.sum(dim=(2, 3)) + 1)
    return torch.einsum("nk,nkhw->nhw", weights, activation)


def signed_layer_cam(model, layer, images, targets):
    return cams.hires_cam(model, layer, images, targets)


def centred_eigen_cam(model, layer, images, targets):
    """Principal components about the mean, which is another decomposition."""
    activation, _ = as_eval_copy(model).activation(layer, images)
    return eigen_cam_of(activation - activation.mean(dim=(2, 3), keepdim=True), activation)


def eigen_cam_of(centred, activation):
    first = torch.linalg.svd(centred.flatten(2).mT, full_matrices=False).Vh[:, 0]
    maps = torch.einsum("nk,nkhw->nhw", first, activation)
    return torch.where(maps.sum(dim=(1, 2), keepdim=True) < 0, -maps, maps)


def upside_down_eigen_cam(model, layer, images, targets):
    return -eigen_cam(model, layer, images, targets)


def other_cam(model, layer, images, targets):
    return cam(model, layer, images, (targets + 1) % 2)


@of_input
def saliency_of_the_probability(model, layer, images, targets):
    x, logits = as_eval_copy(model).forward_input(images)
    return class_gradient(x, logits.softmax(dim=1), targets).abs().amax(dim=1)


@of_input
def sized_input_x_gradient(model, layer, images, targets):
    return input_x_gradient(model, layer, images, targets).abs()


@of_input
def coarse_integrated_gradients(model, layer, images, targets):
    """Eight gradients, at the beginning of each step."""
    steps = [input_gradient(model, images * (step / 8), targets) for step in range(8)]
    return (images * sum(steps) / 8).sum(dim=1)


@of_input
def other_smooth_grad(model, layer, images, targets):
    return smooth_grad(model, layer, images, targets, copies=31)


@of_input
def unguided_backprop(model, layer, images, targets):
    return _strongest(input_gradient(as_eval_copy(model), images, targets))


@of_input
def doubly_guided(model, layer, images, targets):
    return _strongest(_guided_gradient(as_eval_copy(model), images, targets, "guided-backprop")).abs()


def signed_guided_grad_cam(model, layer, images, targets):
    return guided_grad_cam(model, layer, images, targets).abs()


def shared(method):
    """Divided by the largest value of the whole batch: one picture's map depends on its neighbours."""

    def mixed(model, layer, images, targets):
        maps = method(model, layer, images, targets)
        return maps / maps.abs().max()

    mixed.of_input = getattr(method, "of_input", False)
    return mixed


WRONG = [
    ("grad-cam", wrong_grad_cam, "Grad-CAM is classic CAM"),
    ("grad-cam", wrong_grad_cam, "Grad-CAM through NumPy"),
    ("grad-cam", wrong_grad_cam, "Grad-CAM by differences"),
    ("grad-cam", predicted_grad_cam, "Grad-CAM by differences"),
    ("grad-cam++", undivided_grad_cam_plus_plus, "Grad-CAM++ through NumPy"),
    ("hires-cam", positive_hires_cam, "HiResCAM adds up"),
    ("hires-cam", positive_hires_cam, "HiResCAM by differences"),
    ("hires-cam", positive_hires_cam, "HiResCAM through NumPy"),
    ("x-grad-cam", softened_x_grad_cam, "XGrad-CAM through NumPy"),
    ("x-grad-cam", softened_x_grad_cam, "XGrad-CAM by differences"),
    ("layer-cam", signed_layer_cam, "LayerCAM through NumPy"),
    ("eigen-cam", centred_eigen_cam, "Eigen-CAM through NumPy"),
    ("eigen-cam", upside_down_eigen_cam, "Eigen-CAM through NumPy"),
    ("cam", other_cam, "Grad-CAM is classic CAM"),
    ("saliency", saliency_of_the_probability, "saliency through NumPy"),
    ("saliency", saliency_of_the_probability, "saliency by differences"),
    ("input-x-gradient", sized_input_x_gradient, "input × gradient through NumPy"),
    ("input-x-gradient", sized_input_x_gradient, "input × gradient by differences"),
    ("integrated-gradients", coarse_integrated_gradients, "integrated gradients are complete"),
    ("smooth-grad", other_smooth_grad, "SmoothGrad by differences"),
    ("guided-backprop", unguided_backprop, "guided backpropagation through NumPy"),
    ("guided-backprop", doubly_guided, "guided backpropagation through NumPy"),
    ("guided-grad-cam", signed_guided_grad_cam, "Guided Grad-CAM through NumPy"),
    *(
        (name, shared(method), f"{name}: a batch is its singles")
        for name, method in (
            ("score-cam", score_cam),
            ("ablation-cam", ablation_cam),
            ("occlusion", occlusion),
            ("integrated-gradients", integrated_gradients),
            ("grad-cam", cams.grad_cam),
        )
    ),
]


@pytest.mark.parametrize(("name", "method", "oracle"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_method_breaks_its_equation(digits_subject, register, name, method, oracle):
    register(name, method)
    both = ("grad-cam", "cam") if oracle == "Grad-CAM is classic CAM" else (name,)
    found = tried(digits_subject, *both)[oracle]
    assert found.ok is False
    assert found.measured is not None
    assert found.measured.error > 10 * found.measured.allowed


def test_apart_lets_no_nan_pass():
    assert apart(torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 2.0])) == float("inf")
    assert apart(torch.ones(2, 3), torch.ones(3, 2)) == float("inf")
    assert apart(torch.zeros(3), torch.zeros(3)) == 0
    assert apart(torch.tensor([1e-30]), torch.zeros(1)) == float("inf")
    assert apart(torch.tensor([1.0, -3.0]), torch.tensor([1.0, -4.0])) == 0.25
