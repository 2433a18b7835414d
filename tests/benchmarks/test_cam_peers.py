"""Grad-CAM by hand and by other packages: of one form, the same maps; wrong ones are found out."""

import pytest
import torch
from torch import nn

from benchmarks import cam_peers
from benchmarks.cam_peers import BARE, OURS
from convscope.errors import UsageError
from convscope.explain.cam import grad_cam
from convscope.models import build_model

TARGETS = torch.arange(6) % 4


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(2)
    return build_model("tiny-resnet", (3, 16, 24), 4, base_channels=4)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 3, 16, 24, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("layer", ["stem.relu", "group1", "group2.0.sum"])
def test_by_hand_gives_signed_grad_cam_and_computes_nothing_before_the_layer(network, images, layer):
    by_hand = cam_peers.bare(network.eval(), layer)
    expected = grad_cam(network, layer, images, TARGETS)
    torch.testing.assert_close(by_hand(images, TARGETS), expected, rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_layer_inside_what_is_no_sequence_cannot_be_cut_by_hand(network):
    with pytest.raises(UsageError, match="lies inside a Residual"):
        cam_peers.split(network, "group1.0.sum.branch")


def test_every_way_has_a_network_of_its_own_in_eval_mode(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    ways = cam_peers.ways(network.train(), "group2", cam_peers.installed())
    assert list(ways)[:2] == [OURS, BARE]
    for way in ways.values():
        way(torch.randn(2, 3, 16, 24), TARGETS[:2])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", cam_peers.PEERS)
def test_the_packages_agree_with_ours(network, images, name):
    if name not in cam_peers.installed():
        pytest.skip(f"needs {name}: pip install 'convscope[bench]'")
    difference = cam_peers.differences(cam_peers.ways(network, "group2.0", [name]), images, TARGETS)
    assert set(difference) == {BARE, name}
    assert max(difference.values()) < 1e-5


def test_maps_that_are_off_are_found_out(network, images):
    ways = cam_peers.ways(network, "group2.0", [])
    ways["odd"] = lambda images, targets: ways[BARE](images, targets) + 0.01 * torch.eye(8, 12)
    found = cam_peers.differences(ways, images, TARGETS)
    assert found[BARE] < 1e-5 < 1e-3 < found["odd"]


def test_maps_without_evidence_agree_with_anything_and_are_refused(network, images):
    ways = cam_peers.ways(network, "group2.0", [])
    ways[OURS] = lambda images, targets: -torch.ones(6, 8, 12)
    with pytest.raises(UsageError, match="most maps are empty"):
        cam_peers.differences(ways, images, TARGETS)
