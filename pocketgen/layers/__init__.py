"""The registry of layer kinds. A layer knows shapes and steps; it knows no training rule."""

from __future__ import annotations

from pocketgen.layers.dense import Dense
from pocketgen.layers.site import Int8, Layer, Site

LAYERS: dict[str, type[Layer]] = {"Dense": Dense}

__all__ = ["LAYERS", "Dense", "Int8", "Layer", "Site"]
