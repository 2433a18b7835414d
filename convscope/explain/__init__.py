"""A model and pictures in; what argues for a class, and what the network learned and saw, out."""

from convscope.explain.colors import colorize
from convscope.explain.explainer import explain
from convscope.explain.explanation import Explanation
from convscope.explain.feature_maps import feature_maps
from convscope.explain.filters import learned_filters
from convscope.explain.overlay import display_size, overlay
from convscope.explain.patches import TopPatches, top_patches
from convscope.explain.receptive_field import ReceptiveFields, receptive_fields
from convscope.explain.sweep import Sweep, sweep
from convscope.registry import METHODS

__all__ = [
    "METHODS",
    "Explanation",
    "ReceptiveFields",
    "Sweep",
    "TopPatches",
    "colorize",
    "display_size",
    "explain",
    "feature_maps",
    "learned_filters",
    "overlay",
    "receptive_fields",
    "sweep",
    "top_patches",
]
