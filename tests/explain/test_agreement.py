"""Grad-CAM beside captum's, which shares nothing with ours: the same maps, before and after scaling."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from convscope.explain import explain

LAYERS = {"gap": ["features.1", "features.4"], "deep": ["stem", "middle", "last"], "resnet": ["bn1", "layer2.conv2"]}
CASES = [(kind, layer) for kind, layers in LAYERS.items() for layer in layers]


@pytest.mark.parametrize(("kind", "layer"), CASES)
def test_grad_cam_is_captums(make, pictures, kind, layer):
    """Raw and signed, and after the same ReLU and division by the largest value."""
    model, images, targets = make(kind, seed=3).eval(), pictures(6), [3, 0, 2, 1, 2, 3]
    found = explain(model, images, targets, layer)
    peer = LayerGradCam(model, model.get_submodule(layer))
    theirs = peer.attribute(images, target=torch.tensor(targets))[:, 0].detach().numpy()
    assert (theirs < 0).any()
    np.testing.assert_allclose(found.maps, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
    positive = np.maximum(theirs, 0)
    top = positive.max(axis=(1, 2), keepdims=True)
    assert (top > 0).sum() >= 3, "too many empty maps, which would agree with anything"
    np.testing.assert_allclose(
        found.heatmaps(theirs.shape[1:]), positive / np.where(top > 0, top, 1), rtol=0, atol=1e-6
    )
