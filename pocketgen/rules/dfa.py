"""Direct Feedback Alignment: every hidden layer hears the output error through a fixed matrix.

Source: PocketNN (arXiv 2201.02863); Nokland 2016 (arXiv 1609.01596).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pocketgen.errors import ModelError
from pocketgen.intmath import draw_symmetric, stream_key
from pocketgen.ir import Array, Buffer, Range, Step
from pocketgen.kernels import FEEDBACK_PROJECT, FEEDBACK_PROJECT_SEEDED, FILL_ZERO
from pocketgen.layers import Site
from pocketgen.rules.pocket_rule import PocketRule, state, uniform_limit
from pocketgen.rules.rule import FEEDBACK_STREAM, Learning, Scene, out_size


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
        if self.feedback not in ("stored", "seeded"):
            raise ModelError(f"DFA: feedback is {self.feedback!r}; give 'stored' or 'seeded'")

    def describe(self) -> tuple[str, ...]:
        """The parameters in the model's canonical text."""
        return (*super().describe(), f"feedback {self.feedback}")

    def learning(self, scene: Scene) -> Learning:
        """e; delta = e / g at the output, (e R) / g before it; then every W and b."""
        buffers, error = self.error(scene)
        added: list[Buffer] = [*state(), *buffers]
        train: list[Step] = [error]
        for site in scene.sites:
            source = "e"
            if site is not scene.sites[-1]:
                matrix, back, project = self.project(scene, site)
                added += [*matrix, back]
                train.append(project)
                source = back.name
            delta, slope = self.slope(scene, site, source)
            added.append(delta)
            train.append(slope)
        for layer, site in reversed(list(zip(scene.layers, scene.sites, strict=True))):
            train += layer.weight_updates(site, self.update())
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

    def project(self, scene: Scene, site: Site) -> tuple[tuple[Buffer, ...], Buffer, Step]:
        """s = e R at a hidden layer: the matrix if it is stored, the result, the step."""
        classes, n = scene.classes, out_size(scene.layers[site.index - 1], site)
        limit = uniform_limit(*scene.layers[site.index - 1].fans(site.in_shape))
        key = stream_key(scene.seed, FEEDBACK_STREAM + site.index)
        back = self.back(scene, site)
        if self.feedback == "seeded":
            sizes = {"classes": classes, "n": n, "key": key, "limit": limit}
            kernel, operands = FEEDBACK_PROJECT_SEEDED, {"e": "e", "s": back.name}
            note = f"layer {site.index}: s = e R, R drawn from the seed"
            return (), back, Step(kernel, operands, sizes, note, site.index)
        drawn = draw_symmetric(key, np.arange(classes * n), limit).reshape(classes, n)
        matrix = feedback_buffer(site, scene.feedback.get(site.name("R"), drawn))
        return (
            (matrix,),
            back,
            Step(
                FEEDBACK_PROJECT,
                {"e": "e", "R": matrix.name, "s": back.name},
                {"classes": classes, "n": n},
                f"layer {site.index}: {FEEDBACK_PROJECT.equation}",
                site.index,
            ),
        )


def feedback_buffer(site: Site, values: Array) -> Buffer:
    """A stored feedback matrix (classes x units) in the narrowest type that holds it."""
    limits = Range(int(values.min()), int(values.max()))
    return Buffer(
        site.name("R"),
        "feedback",
        values.shape,
        limits.dtype(),
        limits,
        layer=site.index,
        note="fixed random feedback",
        values=values.astype(limits.dtype()),
    )
