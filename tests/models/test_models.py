"""Every registered model at every size it should take; what is not taken says what is."""

import pytest
import torch
from torch import nn

from convscope.errors import UsageError
from convscope.layers import Conv2D, Residual
from convscope.models import MODELS, CNNBlock, DeepCNN, LeNet5, SimpleCNN, TinyResNet, build_model
from convscope.models.base import ImageClassifier, layer_shapes

SIZES = [(28, 28), (32, 32), (64, 64), (33, 47)]
SMALLEST = {"lenet5": 12, "simple-cnn": 4, "deep-cnn": 8, "tiny-resnet": 1}


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_any_channels_forward_and_backward(name: str, size: tuple[int, int], channels: int) -> None:
    torch.manual_seed(0)
    model = build_model(name, (channels, *size), 7)
    logits = model(torch.randn(3, channels, *size))
    assert logits.shape == (3, 7)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_smallest_size_works_and_one_less_says_so(name: str) -> None:
    smallest = SMALLEST[name]
    model = build_model(name, (1, smallest, smallest), 10)
    assert model(torch.zeros(2, 1, smallest, smallest)).shape == (2, 10)
    if smallest > 1:
        with pytest.raises(UsageError, match=f"smallest that works is {smallest}×{smallest}"):
            build_model(name, (1, smallest + 3, smallest - 1), 10)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [*SIZES, (12, 12)])
def test_cam_layer_is_the_last_spatial_layer_of_at_least_4x4(name: str, size: tuple[int, int]) -> None:
    model = build_model(name, (3, *size), 10)
    shapes = layer_shapes(model, (3, *size))
    large_enough = [layer for layer, shape in shapes if len(shape) == 3 and min(shape[1:]) >= 4]
    assert model.cam_layer == large_enough[-1]
    assert isinstance(model.get_submodule(model.cam_layer), nn.Module)


def test_a_picture_without_room_has_no_cam_layer() -> None:
    assert TinyResNet((1, 3, 3), 10).cam_layer is None


@pytest.mark.parametrize("skip", [True, False])
def test_the_residual_sums_are_layers_and_what_holds_them_is_not(skip: bool) -> None:
    model = TinyResNet((3, 10, 6), 4, base_channels=5, skip=skip)
    shapes = layer_shapes(model, (3, 10, 6))
    sums = {"group1.0.sum": (5, 10, 6), "group1.1.sum": (5, 10, 6)}
    sums |= {"group2.0.sum": (10, 5, 3), "group2.1.sum": (10, 5, 3)}
    leaves = [name for name, module in model.named_modules() if not any(module.children())]
    assert {name: shape for name, shape in shapes if name not in leaves} == (sums if skip else {})
    assert len(shapes) == len(leaves) + 4 * skip
    names = [name for name, _ in shapes]
    if skip:
        place = names.index("group2.0.sum")
        assert names[place - 3 : place + 2] == [
            "group2.0.sum.branch.norm2",
            "group2.0.sum.shortcut.conv",
            "group2.0.sum.shortcut.norm",
            "group2.0.sum",
            "group2.0.relu",
        ]


def test_looking_at_shapes_leaves_mode_and_statistics_alone() -> None:
    model = TinyResNet((1, 8, 8), 10, base_channels=4)
    model.group1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    layer_shapes(model, (1, 8, 8))
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_lenet5_is_the_classic_one() -> None:
    model = LeNet5((1, 28, 28), 10)
    assert count(model) == 61_706
    assert dict(layer_shapes(model, (1, 28, 28)))["pool2"] == (16, 5, 5)
    assert not any(isinstance(m, nn.ReLU | nn.MaxPool2d) for m in model.modules())


def test_parameter_counts_by_hand() -> None:
    simple = SimpleCNN((3, 33, 47), 10, initial_channels=8, hidden=16)
    assert count(simple) == (3 * 9 + 1) * 8 + (8 * 9 + 1) * 16 + (16 * 8 * 11 + 1) * 16 + 17 * 10
    deep = DeepCNN((1, 33, 47), 5, num_blocks=2, initial_channels=6, hidden=7)
    assert count(deep) == 9 * 6 + 12 + 6 * 9 * 12 + 24 + (12 * 8 * 11 + 1) * 7 + 8 * 5


def test_deep_cnn_doubles_its_channels_and_halves_its_size() -> None:
    shapes = dict(layer_shapes(DeepCNN((3, 33, 47), 10, num_blocks=4, initial_channels=5), (3, 33, 47)))
    pools = [shapes[f"blocks.{i}.pool"] for i in range(4)]
    assert pools == [(5, 16, 23), (10, 8, 11), (20, 4, 5), (40, 2, 2)]
    assert [type(m).__name__ for m in CNNBlock(2, 3)] == ["Conv2D", "BatchNorm2d", "ReLU", "MaxPool2D"]


def test_tiny_resnet_shortcuts() -> None:
    model = TinyResNet((3, 32, 32), 10, base_channels=8)
    sums = [m for m in model.modules() if isinstance(m, Residual)]
    assert [s.shortcut is None for s in sums] == [True, True, False, True]
    projection = sums[2].get_submodule("shortcut.conv")
    assert isinstance(projection, Conv2D)
    assert (projection.kernel_size, projection.stride) == ((1, 1), (2, 2))
    plain = TinyResNet((3, 32, 32), 10, base_channels=8, skip=False)
    assert not any(isinstance(m, Residual) for m in plain.modules())
    assert count(model) - count(plain) == 8 * 16 + 2 * 16


def test_the_stem_may_pool() -> None:
    shapes = dict(layer_shapes(TinyResNet((3, 20, 13), 7, base_channels=6, stem_pool=2), (3, 20, 13)))
    assert shapes["stem.relu"] == (6, 20, 13)
    assert shapes["stem.pool"] == (6, 10, 6)
    assert shapes["group1.1.relu"] == (6, 10, 6)
    assert shapes["group2.1.relu"] == (12, 5, 3)
    with pytest.raises(UsageError, match="the smallest that works is 4×4"):
        TinyResNet((1, 3, 9), 10, stem_pool=4)


def test_a_residual_block_with_zeroed_branch_passes_its_input() -> None:
    torch.manual_seed(0)
    block = TinyResNet((3, 8, 8), 10, base_channels=4).group1[0].eval()
    nn.init.zeros_(block.get_parameter("sum.branch.norm2.weight"))
    x = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lenet", (1, 28, 28), 10, {}), "unknown model 'lenet'; choose from lenet5"),
        (("lenet5", (1, 28, 28), 10, {"skip": True}), "lenet5 has no option 'skip'; it takes none"),
        (
            ("tiny-resnet", (1, 28, 28), 10, {"depth": 3}),
            "base_channels, widen1, widen2, stem, stem_convs, stem_pool, groups, head_pool, activation, skip",
        ),
        (("tiny-resnet", (1, 28, 28), 10, {"base_channels": "8"}), "base_channels must be int, got '8'"),
        (("tiny-resnet", (1, 28, 28), 10, {"base_channels": 0}), "must be at least 1, got 0"),
        (("tiny-resnet", (1, 28, 28), 10, {"skip": 1}), "skip must be bool, got 1"),
        (("tiny-resnet", (1, 28, 28), 10, {"stem": "white"}), "stem must be one of plain, whitening, got 'white'"),
        (("tiny-resnet", (1, 28, 28), 10, {"stem": 2}), "stem must be one of plain, whitening, got 2"),
        (("tiny-resnet", (1, 8, 9), 10, {"groups": "pooled", "stem": "whitening", "stem_pool": 2}), "is 9×9"),
        (("tiny-resnet", (28, 28), 10, {}), r"in_shape \(28, 28\); expected \(channels, height, width\)"),
        (("tiny-resnet", (0, 28, 28), 10, {}), "all positive"),
        (("tiny-resnet", (1, 28, 28), 1, {}), "num_classes 1; a classifier needs at least 2"),
    ],
)
def test_a_wrong_request_is_one_clear_line(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    name, in_shape, num_classes, options = arguments
    with pytest.raises(UsageError, match=message):
        build_model(name, in_shape, num_classes, **options)


@pytest.mark.parametrize("name", MODELS)
def test_a_slice_is_a_plain_sequence(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, (1, 28, 28), 10).eval()
    x = torch.randn(2, 1, 28, 28)
    assert torch.equal(model[2:](model[:2](x)), model(x))
    assert CNNBlock(1, 2)[:2](x).shape == (2, 2, 28, 28)


def test_dropout_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="dropout"):
        build_model("deep-cnn", (1, 28, 28), 10, dropout=1.5)


@pytest.mark.parametrize("name", MODELS)
def test_all_are_image_classifiers(name: str) -> None:
    assert isinstance(build_model(name, (1, 28, 28), 10), ImageClassifier)


FAST = {"stem": "whitening", "stem_pool": 2, "groups": "pooled", "head_pool": "max", "widen1": 3, "widen2": 2}


@pytest.mark.parametrize("skip", [True, False])
def test_the_fast_tiny_resnet(skip: bool) -> None:
    model = TinyResNet((3, 33, 27), 7, base_channels=5, skip=skip, **FAST)  # type: ignore[arg-type]
    shapes = dict(layer_shapes(model, (3, 33, 27)))
    assert shapes["stem.whitening"] == (24, 32, 26)
    assert (shapes["stem.conv"], shapes["stem.pool"]) == ((5, 32, 26), (5, 16, 13))
    assert (shapes["group1.down.conv"], shapes["group1.relu"]) == ((15, 16, 13), (15, 8, 6))
    assert (shapes["group2.relu"], shapes["pool"]) == ((10, 4, 3), (10, 1, 1))
    assert ("group1.sum" in shapes) is skip
    learned = 9 * (24 * 5 + 5 * 15 + 15 * 15 + 15 * 10 + 10 * 10) + 2 * (5 + 15 + 15 + 10 + 10) + 7 * 10
    assert count(model) == learned + 24 * 3 * 4
    fixed = [name for name, p in model.named_parameters() if not p.requires_grad]
    scales = [f"{name}.norm.weight" for name in ("stem", "group1.down", "group1")]
    assert fixed[:4] == ["stem.whitening.weight", *scales]
    assert len(fixed) == 6
    order = list(shapes)
    assert order.index("stem.pool") < order.index("stem.norm")  # cheaper, and pooling commutes with rising functions
    x = torch.randn(4, 3, 33, 27)
    torch.testing.assert_close(model.pool(x), x.amax(dim=(2, 3), keepdim=True))
    model(x).square().sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_the_stem_may_have_more_convolutions_and_activations_may_be_smooth() -> None:
    more = FAST | {"stem_convs": 3, "activation": "gelu"}
    model = TinyResNet((1, 20, 17), 4, base_channels=6, **more)  # type: ignore[arg-type]
    shapes = dict(layer_shapes(model, (1, 20, 17)))
    assert list(shapes)[:5] == ["stem.whitening", "stem.whitened", "stem.conv", "stem.pool", "stem.norm"]
    assert shapes["stem.conv"] == (6, 19, 16)
    assert shapes["stem.conv2"] == shapes["stem.gelu3"] == (6, 9, 8)
    assert sum(isinstance(m, nn.GELU) for m in model.modules()) == 8
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    textbook = TinyResNet((1, 20, 17), 4, base_channels=6, activation="gelu")
    assert sum(isinstance(m, nn.GELU) for m in textbook.modules()) == 9
    with pytest.raises(UsageError, match='stem_convs only with groups="pooled"'):
        TinyResNet((1, 20, 17), 4, stem_convs=2)


def test_the_fast_tiny_resnet_starts_near_the_identity() -> None:
    model = TinyResNet((3, 32, 32), 10, base_channels=8, **FAST)  # type: ignore[arg-type]
    x = torch.randn(2, 24, 9, 7)
    torch.testing.assert_close(model.get_submodule("group1.sum.branch.conv")(x).detach(), x)
    assert float(model.head.weight.detach().std()) == pytest.approx(1 / 16, rel=0.3)
    assert model.head.bias is None
    assert {m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {0.4}
    assert model.cam_layer == "group1.relu"  # not group2.down.conv, which is 7×7 as well, but bare
