"""Where a network looks, what its blocks contribute, and whether that depends on what it has learned."""

from skipline.explanation.explainer import Answer, Explained, Explainer
from skipline.explanation.explanation import Explanation, Item
from skipline.explanation.layers import Layer, find_layer
from skipline.explanation.methods import METHODS, Method
from skipline.explanation.overlay import overlay
from skipline.explanation.randomised import Sanity, randomised
from skipline.explanation.writing import write_explanation

__all__ = [
    "METHODS",
    "Answer",
    "Explained",
    "Explainer",
    "Explanation",
    "Item",
    "Layer",
    "Method",
    "Sanity",
    "find_layer",
    "overlay",
    "randomised",
    "write_explanation",
]
