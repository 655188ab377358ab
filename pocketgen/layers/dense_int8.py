"""The fully connected layer where the forward pass sees weights of 8 bits.

In: a layer, its site, the arithmetic. Out: buffers and steps. W is stored input by input, so that
inputs of 0 can be left out; hidden sums are not kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from pocketgen.errors import ModelError
from pocketgen.ir import Buffer, Range, Step
from pocketgen.kernels import (
    DENSE_FORWARD_INT8,
    DENSE_INPUT_GRADIENT_INT8,
    DENSE_UPDATE_ROWS,
    POCKET_TANH_INT8,
)
from pocketgen.layers.site import Int8, Site, even_tile, fan_in

HIDDEN, OUTPUT = "pocket_tanh", "identity"
FORWARD_LIMIT = 127  # of a weight that only predicts


class Units(Protocol):
    """What is read of a layer."""

    @property
    def units(self) -> int:
        """How many outputs."""

    @property
    def activation(self) -> str:
        """Its name."""


def check(layer: Units, site: Site) -> None:
    """Raise ModelError for an activation that this arithmetic does not have at this place."""
    wanted = OUTPUT if site.last else HIDDEN
    if layer.activation != wanted:
        place = "the output layer" if site.last else "a hidden layer"
        raise ModelError(
            f"layer {site.index}: activation is {layer.activation!r}; with forward weights of 8 "
            f"bits {place} takes {wanted!r}"
        )


def buffers(layer: Units, site: Site, int8: Int8) -> tuple[Buffer, ...]:
    """W (fan_in x units), b, a; of hidden units h and, in training, f, four times their slope."""
    n, k = layer.units, site.index
    dtype = int8.dtype if site.training else "int8"
    limits = Range.symmetric(int8.limit if site.training else FORWARD_LIMIT)
    shape = (fan_in(site.in_shape), n)
    weights = Buffer(site.name("W"), "weight", shape, dtype, limits, layer=k, note="weights")
    bias = Buffer(site.name("b"), "bias", (n,), dtype, limits, layer=k, note="biases")
    rows = Buffer("", "activation", (n,), per_sample=True, kept=site.training, layer=k)
    a = replace(rows, name=site.name("a"), note="activations")
    if site.last:
        return weights, bias, a
    h = replace(rows, name=site.name("h"), kept=False, note="pre-activations")
    f = replace(rows, name=site.name("f"), role="slope", note="four times the slopes")
    return (weights, bias, h, a, f) if site.training else (weights, bias, h, a)


def forward(layer: Units, site: Site, int8: Int8) -> tuple[Step, ...]:
    """h = x w + bias_input c, then the activation; an output layer's sums are its activations."""
    sizes = {
        "fan_in": fan_in(site.in_shape),
        "fan_out": layer.units,
        "fraction": int8.fraction if site.training else 1,
        "bias_input": int8.bias_input,
    }
    operands = {"x": site.source, "W": site.name("W"), "b": site.name("b")}
    sums = site.name("a" if site.last else "h")
    note = f"layer {site.index}: {DENSE_FORWARD_INT8.equation}"
    step = Step(DENSE_FORWARD_INT8, {**operands, "h": sums}, sizes, note, site.index)
    if site.last:
        return (step,)
    results = {name: site.name(name) for name in ("h", "a", *(("f",) if site.training else ()))}
    return step, Step(
        POCKET_TANH_INT8,
        results,
        {"n": layer.units, "half": int8.divisor // 2, "divisor": int8.divisor},
        f"layer {site.index}: {POCKET_TANH_INT8.equation}",
        site.index,
    )


def weight_update(layer: Units, site: Site, delta: str, update: Step) -> Step:
    """W moved by the rule's update, from x and delta of the whole batch."""
    sizes = {"fan_in": fan_in(site.in_shape), "fan_out": layer.units, "batch": site.batch}
    return Step(
        DENSE_UPDATE_ROWS,
        {"x": site.source, "delta": delta, "n": "n", "W": site.name("W")},
        {**sizes, "tile": even_tile(layer.units)},
        f"layer {site.index}: {DENSE_UPDATE_ROWS.equation}",
        site.index,
        "once",
        update,
    )


def input_gradient(layer: Units, site: Site, int8: Int8, delta: str, result: str) -> Step:
    """s = delta w, with the weights that the forward pass saw."""
    sizes = {"fan_in": fan_in(site.in_shape), "fan_out": layer.units, "fraction": int8.fraction}
    return Step(
        DENSE_INPUT_GRADIENT_INT8,
        {"delta": delta, "W": site.name("W"), "s": result},
        sizes,
        f"layer {site.index}: {DENSE_INPUT_GRADIENT_INT8.equation}",
        site.index,
    )
