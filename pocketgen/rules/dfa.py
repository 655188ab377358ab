"""Direct Feedback Alignment: every hidden layer hears the output error through a fixed matrix.

Source: PocketNN (arXiv 2201.02863); Nokland 2016 (arXiv 1609.01596).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pocketgen.ir import Buffer, Step
from pocketgen.kernels import FILL_ZERO
from pocketgen.rules.feedback import check_feedback, project
from pocketgen.rules.pocket_rule import PocketRule, uniform_limit
from pocketgen.rules.rule import Learning, Scene


@dataclass(frozen=True)
class DFA(PocketRule):
    """PocketNN's rule. Weights start at 0.

    feedback: "stored" keeps the matrices as constants in flash; "seeded" draws the same matrices
    again at every use, at zero bytes and more time. The other parameters: see PocketRule.
    """

    feedback: Literal["stored", "seeded"] = "stored"

    def check(self) -> None:
        """Raise ModelError for parameters out of range."""
        super().check()
        check_feedback("DFA", self.feedback)

    def describe(self) -> tuple[str, ...]:
        """The parameters in the model's canonical text."""
        return (*super().describe(), f"feedback {self.feedback}")

    def learning(self, scene: Scene) -> Learning:
        """e; delta = e / g at the output, (e R) / g before it; then every W and b."""
        buffers, error = self.error(scene)
        added: list[Buffer] = [*self.arguments(), *buffers]
        train: list[Step] = [error]
        for site in scene.sites:
            source = "e"
            if site is not scene.sites[-1]:
                limit = uniform_limit(*scene.layers[site.index - 1].fans(site.in_shape))
                matrix, back, step = project(scene, site, limit, self.feedback)
                added += [*matrix, back]
                train.append(step)
                source = back.name
            delta, slope = self.slope(scene, site, source)
            added.append(delta)
            train.append(slope)
        for layer, site in reversed(list(zip(scene.layers, scene.sites, strict=True))):
            train += layer.weight_updates(site, site.name("delta"), self.update())
        init = tuple(
            Step(
                FILL_ZERO,
                {"w": parameter.name},
                {"n": parameter.size},
                f"layer {site.index}: {parameter.name} = 0",
                site.index,
                "once",
            )
            for layer, site in zip(scene.layers, scene.sites, strict=True)
            for parameter in layer.buffers(site)
            if parameter.role in ("weight", "bias")
        )
        return Learning(tuple(added), init, tuple(train), "e")
