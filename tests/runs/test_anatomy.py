"""What a diagram shows: every layer once, in the order of the data, in its group, with the right shortcuts."""

import pytest
from torch import Tensor, nn

from convscope.layers import AveragePool2D, Conv2D, Flatten, MaxPool2D, Residual
from convscope.models import build_model
from convscope.models.base import layer_shapes, named
from convscope.models.cost import multiply_adds
from convscope.runs.anatomy import Anatomy, anatomy

SHAPES = [(1, 28, 28), (3, 33, 47)]
NAMES = ["lenet5", "simple-cnn", "deep-cnn", "tiny-resnet"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_no_layer_is_missing_and_nothing_is_counted_twice(name: str, shape: tuple[int, int, int]) -> None:
    model = build_model(name, shape, 7)
    found, shapes = anatomy(model, shape), layer_shapes(model, shape)
    # the picture is no layer; what is no stage follows one
    assert sum(1 + len(stage.followers) for stage in found.stages) - 1 == len(shapes)
    order = [layer for layer, _ in shapes]
    places = [order.index(stage.name) for stage in found.stages[1:]]
    assert places == sorted(places)
    assert all(stage.output_shape == dict(shapes)[stage.name] for stage in found.stages[1:])
    assert found.stages[0].output_shape == shape
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.multiply_adds == sum(multiply_adds(model, shape).values())


def rows(found: Anatomy) -> list[tuple[str, str, tuple[int, ...], tuple[str, ...]]]:
    return [(stage.name, stage.label, stage.output_shape, stage.followers) for stage in found.stages]


def test_lenet5_is_eight_boxes_in_a_row() -> None:
    found = anatomy(build_model("lenet5", (1, 28, 28), 10), (1, 28, 28))
    assert rows(found) == [
        ("input", "Picture", (1, 28, 28), ()),
        ("conv1", "Conv 5×5", (6, 28, 28), ("Tanh",)),
        ("pool1", "Avg pool 2×2", (6, 14, 14), ()),
        ("conv2", "Conv 5×5", (16, 10, 10), ("Tanh",)),
        ("pool2", "Avg pool 2×2", (16, 5, 5), ("Flatten",)),
        ("linear1", "Linear", (120,), ("Tanh",)),
        ("linear2", "Linear", (84,), ("Tanh",)),
        ("linear3", "Linear", (10,), ()),
    ]
    assert (found.groups, found.shortcuts) == ([], [])
    assert [stage.parameters for stage in found.stages] == [0, 156, 0, 2416, 0, 48120, 10164, 850]


def test_tiny_resnet_has_groups_and_shortcuts() -> None:
    shape = (3, 33, 47)
    found = anatomy(build_model("tiny-resnet", shape, 10, base_channels=4, stem_pool=2), shape)
    names = [stage.name for stage in found.stages]
    shortcuts = [(names[s.start], names[s.end], [names[i] for i in s.through]) for s in found.shortcuts]
    assert shortcuts == [
        ("stem.pool", "group1.0.sum", []),
        ("group1.0.sum", "group1.1.sum", []),
        ("group1.1.sum", "group2.0.sum", ["group2.0.sum.shortcut.conv"]),
        ("group2.0.sum", "group2.1.sum", []),
    ]
    assert [(g.name, g.type, names[g.first], names[g.last]) for g in found.groups] == [
        ("stem", "", "stem.conv", "stem.pool"),
        ("group1", "", "group1.0.sum.branch.conv1", "group1.1.sum"),
        ("group1.0", "ResidualBlock", "group1.0.sum.branch.conv1", "group1.0.sum"),
        ("group1.1", "ResidualBlock", "group1.1.sum.branch.conv1", "group1.1.sum"),
        ("group2", "", "group2.0.sum.branch.conv1", "group2.1.sum"),
        ("group2.0", "ResidualBlock", "group2.0.sum.branch.conv1", "group2.0.sum"),
        ("group2.1", "ResidualBlock", "group2.1.sum.branch.conv1", "group2.1.sum"),
    ]
    by_name = {stage.name: stage for stage in found.stages}
    assert [stage.name for stage in found.stages if stage.shortcut] == ["group2.0.sum.shortcut.conv"]
    assert by_name["group2.0.sum.shortcut.conv"].label == "Conv 1×1 /2"
    assert by_name["group2.0.sum.shortcut.conv"].followers == ("BatchNorm",)
    assert by_name["group2.0.sum.shortcut.conv"].parameters == 4 * 8 + 2 * 8
    assert by_name["group1.1.sum"].followers == ("ReLU",)


def test_without_shortcuts_a_block_is_one_group() -> None:
    found = anatomy(build_model("tiny-resnet", (3, 20, 13), 10, skip=False), (3, 20, 13))
    assert not found.shortcuts
    assert [g.name for g in found.groups] == [
        "stem",
        "group1",
        "group1.0",
        "group1.1",
        "group2",
        "group2.0",
        "group2.1",
    ]
    assert [stage.followers for stage in found.stages[1:-2]] == [("BatchNorm", "ReLU")] * 9


def test_what_follows_a_group_is_not_drawn_into_it() -> None:
    found = anatomy(build_model("deep-cnn", (3, 33, 47), 10), (3, 33, 47))
    assert rows(found)[6:8] == [("blocks.2.pool", "Max pool 2×2", (128, 4, 5), ()), ("flatten", "Flatten", (2560,), ())]
    assert [(g.name, g.type, g.first, g.last) for g in found.groups] == [
        ("blocks", "", 1, 6),
        ("blocks.0", "CNNBlock", 1, 2),
        ("blocks.1", "CNNBlock", 3, 4),
        ("blocks.2", "CNNBlock", 5, 6),
    ]


def test_activation_before_convolution_stays_behind_the_split() -> None:
    """He et al. 2016, "Identity mappings": what comes first in the branch is not on the shortcut."""
    branch = nn.Sequential(nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 5, (3, 1), padding=(1, 0)))
    model = nn.Sequential(named(first=Conv2D(2, 5, 3), sum=Residual(branch), last=nn.GELU()))
    found = anatomy(model, (2, 9, 12))
    assert rows(found)[1:] == [
        ("first", "Conv 3×3", (5, 7, 10), ()),
        ("sum.branch.0", "BatchNorm", (5, 7, 10), ("ReLU",)),
        ("sum.branch.2", "Conv 3×1", (5, 7, 10), ()),
        ("sum", "Sum", (5, 7, 10), ("GELU",)),
    ]
    assert [(s.start, s.end, s.through) for s in found.shortcuts] == [(1, 4, ())]


def test_a_shortcut_of_one_layer_and_a_sum_within_a_branch() -> None:
    inner = Residual(Conv2D(3, 3, 3, padding="same"))
    outer = Residual(nn.Sequential(inner, nn.MaxPool2d(2)), Conv2D(3, 3, 2, stride=2))
    found = anatomy(nn.Sequential(outer, Flatten()), (3, 8, 6))
    assert [(s.name, s.shortcut) for s in found.stages] == [
        ("input", False),
        ("0.branch.0.branch", False),
        ("0.branch.0", False),
        ("0.branch.1", False),
        ("0.shortcut", True),
        ("0", False),
    ]
    assert [(s.start, s.end, s.through) for s in found.shortcuts] == [(0, 2, ()), (0, 5, (4,))]
    assert found.stages[-1].followers == ("Flatten",)


@pytest.mark.parametrize(
    ("layer", "label"),
    [
        (MaxPool2D(3, stride=2), "Max pool 3×3 /2"),
        (AveragePool2D((2, 3)), "Avg pool 2×3"),
        (nn.AvgPool2d(2), "Avg pool 2×2"),
        (nn.MaxPool2d(2, stride=(2, 1)), "Max pool 2×2 /2×1"),
        (nn.AdaptiveMaxPool2d(1), "Global max pool"),
        (nn.AdaptiveAvgPool2d(3), "AdaptiveAvgPool2d"),
        (nn.Conv2d(4, 2, 3, stride=(1, 2)), "Conv 3×3 /1×2"),
        (nn.Upsample(scale_factor=2), "Upsample"),
    ],
    ids=repr,
)
def test_layers_go_by_their_names(layer: nn.Module, label: str) -> None:
    assert anatomy(nn.Sequential(layer), (4, 9, 12)).stages[1].label == label


def test_what_is_no_sequence_is_one_box() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.conv(x).sigmoid()

    found = anatomy(nn.Sequential(Conv2D(1, 3, 3), Gate()), (1, 8, 6))
    assert rows(found)[2:] == [("1", "Gate", (3, 6, 4), ())]
    assert (found.stages[2].parameters, found.stages[2].multiply_adds) == (12, 3 * 24 * 3)
