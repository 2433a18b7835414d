"""A run and, for some, a picture in; a PNG out: explanations, kernels, maps, patches, augmentation, network."""

from convscope.views.explanations import explain_picture, sweep_picture
from convscope.views.looks import look_at_augmentation, look_at_filters, look_at_maps, look_at_network
from convscope.views.patches import look_at_patches
from convscope.views.picture import Picture, choose_picture, choose_target

__all__ = [
    "Picture",
    "choose_picture",
    "choose_target",
    "explain_picture",
    "look_at_augmentation",
    "look_at_filters",
    "look_at_maps",
    "look_at_network",
    "look_at_patches",
    "sweep_picture",
]
