"""Backpropagation with softmax cross-entropy: needs the weights backwards, and no feedback.

The integer arithmetic is that of CrossEntropyDFA but for one factor: the error of a hidden layer
comes through the forward weights of the layer above, all of it before any weight moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketgen.ir import Buffer, Step
from pocketgen.rules.cross_entropy_rule import CrossEntropyRule
from pocketgen.rules.feedback import error_before_slope
from pocketgen.rules.rule import Learning, Scene


@dataclass(frozen=True)
class CrossEntropyBackprop(CrossEntropyRule):
    """Softmax cross-entropy, whose error every hidden layer hears through the layer above.

    Hidden layers take the activation pocket_tanh, the output layer identity. Parameters: see
    CrossEntropyRule.
    """

    def learning(self, scene: Scene) -> Learning:
        """e; delta = (delta w) f from the last layer down; then every W and b."""
        buffers, error = self.error(scene)
        added: list[Buffer] = [*self.arguments(), *buffers]
        train: list[Step] = [error]
        above = "e"
        for layer, site in reversed(list(zip(scene.layers, scene.sites, strict=True))[1:]):
            below = scene.sites[site.index - 2]
            back = error_before_slope(scene, below)
            delta, slope = self.slope(scene, below, back.name)
            added += [back, delta]
            train += [*layer.input_gradient(site, above, back.name), slope]
            above = delta.name
        keys, updates = self.updates(scene)
        return Learning((*added, *keys), self.init(scene), (*train, *updates), "e")
