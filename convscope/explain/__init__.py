"""A model and pictures in; what argues for a class, and what the network learned and saw, out."""

from convscope.explain.colors import colorize
from convscope.explain.explainer import explain
from convscope.explain.explanation import Explanation
from convscope.explain.feature_maps import feature_maps
from convscope.explain.filters import learned_filters
from convscope.explain.overlay import display_size, overlay
from convscope.registry import METHODS

__all__ = [
    "METHODS",
    "Explanation",
    "colorize",
    "display_size",
    "explain",
    "feature_maps",
    "learned_filters",
    "overlay",
]
