"""The fully connected layer where the forward pass sees weights of 8 bits.

In: a layer, its site, the arithmetic. Out: buffers and steps. W is stored input by input, so that
inputs of 0 can be left out; hidden sums are not kept.
"""

from __future__ import annotations

from typing import Protocol

from pocketgen.errors import ModelError
from pocketgen.ir import Buffer, Range, Step
from pocketgen.kernels import DENSE_FORWARD_INT8, DENSE_UPDATE_ROWS, IDENTITY, POCKET_TANH_INT8
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
    """W (fan_in x units), b, h, a; in training also f, four times the slope of hidden units."""
    n, k = layer.units, site.index
    dtype = int8.dtype if site.training else "int8"
    limits = Range.symmetric(int8.limit if site.training else FORWARD_LIMIT)
    made = [
        Buffer(
            site.name("W"),
            "weight",
            (fan_in(site.in_shape), n),
            dtype,
            limits,
            layer=k,
            note="weights",
        ),
        Buffer(site.name("b"), "bias", (n,), dtype, limits, layer=k, note="biases"),
        Buffer(
            site.name("h"),
            "activation",
            (n,),
            per_sample=True,
            kept=False,
            layer=k,
            note="pre-activations",
        ),
        Buffer(
            site.name("a"),
            "activation",
            (n,),
            per_sample=True,
            kept=site.training,
            layer=k,
            note="activations",
        ),
    ]
    if site.training and not site.last:
        note = "four times the slopes"
        made.append(Buffer(site.name("f"), "slope", (n,), per_sample=True, layer=k, note=note))
    return tuple(made)


def forward(layer: Units, site: Site, int8: Int8) -> tuple[Step, ...]:
    """h = x w + bias_input c, then the activation."""
    sizes = {
        "fan_in": fan_in(site.in_shape),
        "fan_out": layer.units,
        "fraction": int8.fraction if site.training else 1,
        "bias_input": int8.bias_input,
    }
    operands = {name: site.name(name) for name in ("W", "b", "h")}
    activation, activation_sizes = IDENTITY, {"n": layer.units}
    results = {name: site.name(name) for name in ("h", "a")}
    if not site.last:
        activation = POCKET_TANH_INT8
        activation_sizes |= {"half": int8.divisor // 2, "divisor": int8.divisor}
        results |= {"f": site.name("f")} if site.training else {}
    equation = activation.equation if not site.last else "a = h"
    return (
        Step(
            DENSE_FORWARD_INT8,
            {"x": site.source, **operands},
            sizes,
            f"layer {site.index}: {DENSE_FORWARD_INT8.equation}",
            site.index,
        ),
        Step(activation, results, activation_sizes, f"layer {site.index}: {equation}", site.index),
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
