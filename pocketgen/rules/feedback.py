"""Fixed random feedback: how the rules of direct feedback alignment bring the error to a layer.

In: the scene, a hidden layer's site, the matrix's range. Out: buffers and the step s = e R.
Source: Nokland 2016 (arXiv 1609.01596).
"""

from __future__ import annotations

import numpy as np

from pocketgen.errors import ModelError
from pocketgen.intmath import draw_symmetric, stream_key
from pocketgen.ir import Array, Buffer, Range, Step
from pocketgen.kernels import FEEDBACK_PROJECT, FEEDBACK_PROJECT_SEEDED
from pocketgen.layers import Site
from pocketgen.rules.rule import FEEDBACK_STREAM, Scene, out_size

FEEDBACK = ("stored", "seeded")


def check_feedback(rule_name: str, feedback: str) -> None:
    """Raise ModelError for an unknown way to keep the matrices."""
    if feedback not in FEEDBACK:
        raise ModelError(f"{rule_name}: feedback is {feedback!r}; give 'stored' or 'seeded'")


def project(
    scene: Scene, site: Site, limit: int, feedback: str
) -> tuple[tuple[Buffer, ...], Buffer, Step]:
    """s = e R at a hidden layer: the matrix if it is stored, the result, the step.

    limit: the largest |R|. feedback: "stored", or "seeded" to draw the matrix at every use.
    """
    classes, n = scene.classes, out_size(scene.layers[site.index - 1], site)
    key = stream_key(scene.seed, FEEDBACK_STREAM + site.index)
    back = error_before_slope(scene, site)
    if feedback == "seeded":
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


def error_before_slope(scene: Scene, site: Site) -> Buffer:
    """The error at a layer's activations, before the slope."""
    return Buffer(
        site.name("s"),
        "scratch",
        (out_size(scene.layers[site.index - 1], site),),
        per_sample=True,
        kept=False,
        layer=site.index,
        note="error before the slope",
    )
