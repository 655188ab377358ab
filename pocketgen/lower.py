"""From a model to a program: the layers' and the rule's steps in one list each.

In: a Model, and the user's weights and feedback matrices if any. Out: a Program without ranges.
Not here: proofs (bounds), C (plan, render).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from pocketgen.errors import DataError, ModelError
from pocketgen.intmath import INT_LIMITS, floor_pow2
from pocketgen.ir import PARAMETER_ROLES, Array, Buffer, Program, Range, Step
from pocketgen.kernels import COPY_TABLE, DROPOUT, SCALE_FEATURES, SCALE_INPUT, SCALE_KEPT
from pocketgen.layers import Layer, Site
from pocketgen.model import Model
from pocketgen.rules import UPDATE_STREAM, Learning, Scene, update_streams

Weights = Mapping[str, ArrayLike]


def lower(
    model: Model,
    weights: Weights | None = None,
    feedback: Weights | None = None,
    inference_only: bool = False,
) -> Program:
    """The program of a model.

    weights: W1 (fan_in, fan_out), b1 (fan_out,), …: what training starts from, or what an
    inference-only program holds in flash. feedback: R1 (classes, units), … in place of drawn ones.
    Raises ModelError and DataError for arrays that do not belong to the model.
    """
    sites = model.sites(training=not inference_only)
    places = tuple(zip(model.layers, sites, strict=True))
    buffers = [raw_input(model)]
    scaled, forward = input_steps(model, inference_only)
    buffers += scaled
    for layer, site in places:
        buffers += layer.buffers(site)
        forward += layer.forward(site)
    parameters = tuple(b for b in buffers if b.role in PARAMETER_ROLES)
    given = stored(parameters, weights, "weights") if weights is not None else {}
    if inference_only:
        if weights is None:
            raise ModelError(f"model {model.name}: inference only needs weights; train it first")
        if feedback is not None:
            raise ModelError(f"model {model.name}: inference only has no use for feedback")
        buffers = [frozen(model, b, given) for b in buffers]
        learning = Learning((), (), (), "")
    else:
        learning = learn(model, places, feedback)
        if given:
            learning = start_from(learning, parameters, given)
    buffers += [] if inference_only else model.rule.states()
    buffers += learning.buffers
    text = [*model.description, *(["inference only"] if inference_only else [])]
    if given:
        text.append(f"weights {fingerprint(given)}")
    if feedback:
        matrices = {b.name: b.values for b in learning.buffers if b.role == "feedback"}
        text.append(f"feedback {fingerprint(matrices)}")
    return Program(
        name=model.name,
        summary=summary(model, inference_only),
        digest=hashlib.sha256("\n".join(text).encode()).hexdigest()[:16],
        layout_digest=model.layout_digest,
        description=tuple(text),
        seed=model.seed,
        batch=1 if inference_only else model.rule.batch,
        classes=model.classes,
        training=not inference_only,
        input="x",
        input_range=model.input.limits,
        output=places[-1][1].name("a"),
        buffers={b.name: b for b in buffers},
        init=learning.init,
        forward=tuple(forward),
        train=learning.train,
        error=learning.error,
        states=model.rule.states(),
        expects=model.rule.expects,
    )


def summary(model: Model, inference_only: bool) -> str:
    """The network in a few words, for the head of the generated files."""
    widths = "-".join(str(n) for n in (model.input.features, *layer_widths(model)))
    verb = "predicts" if inference_only else f"learns ({type(model.rule).__name__}) and predicts"
    return f"a {widths} integer network that {verb}"


def layer_widths(model: Model) -> tuple[int, ...]:
    """Elements of each layer's output."""
    shapes = (
        layer.output_shape(shape)
        for layer, shape in zip(model.layers, model.in_shapes, strict=True)
    )
    return tuple(int(np.prod(shape)) for shape in shapes)


def raw_input(model: Model) -> Buffer:
    """The caller's samples. The C may be handed any value of the type, whatever the range says."""
    dtype = model.input.dtype
    shape = (model.input.features,)
    limits = Range(*INT_LIMITS[dtype])
    return Buffer("x", "input", shape, dtype, limits, per_sample=True, note="raw input")


def frozen(model: Model, buffer: Buffer, given: Mapping[str, Array]) -> Buffer:
    """A weight as inference keeps it: a constant, of which the forward pass needs all bits."""
    if buffer.name not in given:
        return buffer
    values = given[buffer.name]
    if model.fraction > 1:
        values = floor_pow2(values, model.fraction)
    return replace(buffer, values=values)


def input_steps(model: Model, inference_only: bool) -> tuple[list[Buffer], list[Step]]:
    """From raw integers to the network's input, where the model asks for it: scaling, dropout."""
    if not model.drop:
        return scaling(model, "a0", kept=not inference_only)
    buffers, steps = scaling(model, "whole", kept=False)
    source = "x" if model.reads_raw else "whole"
    features = model.input.features
    a0 = Buffer(
        "a0", "activation", (features,), per_sample=True, kept=not inference_only, note="input"
    )
    drop = {
        "n": features,
        "words": -(-features // 32),
        "drop": model.drop,
        "seed": model.seed,
        "streams": update_streams(model.layers),
        "stream": UPDATE_STREAM,
    }
    operands = {"a": source, "step": "step", "row": "row", "x": "a0"}
    instead = Step(DROPOUT, operands, drop, f"input: {DROPOUT.equation}")
    kept = Step(
        SCALE_KEPT,
        {"a": source, "x": "a0"},
        {"n": features, "kept": 8 - model.drop},
        f"input: {SCALE_KEPT.equation}",
        instead=None if inference_only else instead,
    )
    row = Buffer("row", "row", (), "uint16", Range(0, model.rule.batch - 1), note="place in batch")
    return [*buffers, a0, *([] if inference_only else [row])], [*steps, kept]


def scaling(model: Model, name: str, kept: bool) -> tuple[list[Buffer], list[Step]]:
    """Raw integers to the range that the network takes, in a buffer of that name."""
    if model.reads_raw:
        return [], []
    features, scale = model.input.features, model.input.scale
    a0 = Buffer(name, "activation", (features,), per_sample=True, kept=kept, note="scaled input")
    if scale is not None and scale.per_feature:
        columns = [
            Buffer(
                name,
                "table",
                (features,),
                Range(min(values), max(values)).dtype(),
                Range(min(values), max(values)),
                note=f"{name} per feature",
                values=np.array(values, dtype=np.int64),
            )
            for name, values in zip(("offset", "multiplier"), scale.columns(features), strict=True)
        ]
        sizes = {"n": features, "divisor": 2**scale.shift}
        sizes |= {"low": scale.limits.low, "high": scale.limits.high}
        operands = {"raw": "x", "offset": "offset", "multiplier": "multiplier", "x": name}
        note = f"input: {SCALE_FEATURES.equation}"
        return [*columns, a0], [Step(SCALE_FEATURES, operands, sizes, note)]
    limits = model.input.limits
    sizes = {"n": features, "offset": 0, "multiplier": 1, "divisor": 1}
    if scale is not None:
        # The range of raw values, scaled, bounds x more closely than x's type does.
        ends = scale.apply([limits.low, limits.high])
        limits = Range(int(ends.min()), int(ends.max()))
        assert isinstance(scale.offset, int)
        assert isinstance(scale.multiplier, int)
        sizes |= {"offset": scale.offset, "multiplier": scale.multiplier}
        sizes |= {"divisor": 2**scale.shift}
    sizes |= {"low": limits.low, "high": limits.high}
    note = f"input: {SCALE_INPUT.equation}"
    return [a0], [Step(SCALE_INPUT, {"raw": "x", "x": name}, sizes, note)]


def learn(
    model: Model, places: tuple[tuple[Layer, Site], ...], feedback: Weights | None
) -> Learning:
    """The rule's part of the program, with the user's feedback matrices checked."""
    scene = Scene(model.layers, tuple(site for _, site in places), model.seed, {})
    learning = model.rule.learning(scene)
    if feedback is None:
        return learning
    matrices = tuple(b for b in learning.buffers if b.role == "feedback")
    if not matrices:
        raise ModelError(f"model {model.name}: its rule stores no feedback matrices to replace")
    given = stored(matrices, feedback, "feedback", partial=True)
    return model.rule.learning(replace(scene, feedback=given))


def start_from(
    learning: Learning, parameters: tuple[Buffer, ...], given: Mapping[str, Array]
) -> Learning:
    """The same learning, from given weights instead of the rule's own start."""
    tables = tuple(
        Buffer(
            f"{p.name}_initial",
            "table",
            p.shape,
            p.dtype,
            Range(int(given[p.name].min()), int(given[p.name].max())),
            layer=p.layer,
            note=f"initial {p.name}",
            values=given[p.name],
        )
        for p in parameters
    )
    init = tuple(
        Step(
            COPY_TABLE,
            {"table": table.name, "w": p.name},
            {"n": p.size},
            f"layer {p.layer}: {p.name} = trained values",
            p.layer,
            "once",
        )
        for p, table in zip(parameters, tables, strict=True)
    )
    return replace(learning, buffers=(*learning.buffers, *tables), init=init)


def stored(
    buffers: tuple[Buffer, ...], arrays: Weights, title: str, partial: bool = False
) -> dict[str, Array]:
    """The user's arrays in storage order; DataError where names, shapes or values are wrong."""
    known = {b.name: b for b in buffers}
    unknown = [name for name in arrays if name not in known]
    missing = [name for name in known if name not in arrays]
    if unknown:
        raise DataError(f"{title}: no array {unknown[0]!r} here; known are {', '.join(known)}")
    if missing and not partial:
        raise DataError(f"{title}: {', '.join(missing)} missing; give all or none")
    result = {}
    for name, array in arrays.items():
        buffer = known[name]
        values = np.asarray(array)
        seen = tuple(buffer.shape[axis] for axis in buffer.axes) or buffer.shape
        if values.dtype.kind not in "iu":
            raise DataError(f"{title}: {name} has dtype {values.dtype}; give integers")
        if values.shape == (1, *seen):
            values = values[0]
        if values.shape != seen:
            raise DataError(f"{title}: {name} has shape {values.shape}; the model needs {seen}")
        low, high = INT_LIMITS["int16"]
        if values.min() <= low or values.max() > high:
            raise DataError(
                f"{title}: {name} holds {values.min()}..{values.max()}; the limit is ±{high}"
            )
        in_storage = values.transpose(np.argsort(buffer.axes)) if buffer.axes else values
        result[name] = np.ascontiguousarray(in_storage, dtype=np.int16)
    return result


def fingerprint(arrays: Mapping[str, Array | None]) -> str:
    """16 hexadecimal digits of the SHA-256 of named integer arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.asarray(arrays[name])
        digest.update(f"{name}{values.shape}".encode())
        digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()[:16]
