"""PocketNN's second rule: backpropagation, layer by layer, through already updated weights.

Source: PocketNN's published program (arXiv 2201.02863): delta_k = (delta_k+1 W_k+1) / g_k
with W_k+1 as this batch has already moved it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketgen.ir import Buffer, Step
from pocketgen.kernels import DRAW_UNIFORM
from pocketgen.rules.feedback import error_before_slope
from pocketgen.rules.pocket_rule import PocketRule, uniform_limit
from pocketgen.rules.rule import BIAS_STREAM, WEIGHT_STREAM, Learning, Scene


@dataclass(frozen=True)
class Backprop(PocketRule):
    """Backpropagation with PocketNN's arithmetic. Weights and biases start at random.

    Parameters: see PocketRule.
    """

    def learning(self, scene: Scene) -> Learning:
        """From the last layer to the first: delta, then W and b, then the next error."""
        buffers, error = self.error(scene)
        added: list[Buffer] = [*self.arguments(), *buffers]
        train: list[Step] = [error]
        source = "e"
        for layer, site in reversed(list(zip(scene.layers, scene.sites, strict=True))):
            delta, slope = self.slope(scene, site, source)
            added.append(delta)
            train.append(slope)
            train += layer.weight_updates(site, delta.name, self.update())
            if site.index > 1:
                back = error_before_slope(scene, scene.sites[site.index - 2])
                added.append(back)
                train += layer.input_gradient(site, delta.name, back.name)
                source = back.name
        return Learning(tuple(added), self.init(scene), tuple(train), "e")

    def init(self, scene: Scene) -> tuple[Step, ...]:
        """Uniform random integers in [-r, r] without 0 for every W and b."""
        streams = {"weight": WEIGHT_STREAM, "bias": BIAS_STREAM}
        return tuple(
            Step(
                DRAW_UNIFORM,
                {"seed": "seed", "w": parameter.name},
                {
                    "n": parameter.size,
                    "stream": streams[parameter.role] + site.index,
                    "limit": uniform_limit(*layer.fans(site.in_shape)),
                    "centre": 0,
                },
                f"layer {site.index}: {parameter.name} uniform",
                site.index,
                "once",
            )
            for layer, site in zip(scene.layers, scene.sites, strict=True)
            for parameter in layer.buffers(site)
            if parameter.role in streams
        )
