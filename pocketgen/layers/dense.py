"""The fully connected layer: h = W x + b, a = activation(h)."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from pocketgen.errors import ModelError
from pocketgen.intmath import is_whole, make_plain
from pocketgen.ir import Buffer, Kernel, Range, Step
from pocketgen.kernels import (
    DENSE_FORWARD,
    DENSE_FORWARD_WIDE,
    DENSE_INPUT_GRADIENT,
    DENSE_UPDATE_BIAS,
    DENSE_UPDATE_WEIGHTS,
    IDENTITY,
    POCKET_LEAKYRELU,
    POCKET_RELU8BIT,
    POCKET_SIGMOID,
    POCKET_TANH,
)
from pocketgen.layers import dense_int8
from pocketgen.layers.site import Site, even_tile, fan_in

ACTIVATIONS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (POCKET_TANH, POCKET_SIGMOID, POCKET_RELU8BIT, POCKET_LEAKYRELU, IDENTITY)
}
WEIGHT_LIMIT = 32767  # PocketNN clamps weights and biases to 16 bits
MAX_UNITS = 65535  # loop counters may have 16 bits


@dataclass(frozen=True)
class Dense:
    """A fully connected layer.

    units: how many outputs, 1..65535. activation: pocket_tanh, pocket_sigmoid, pocket_relu8bit,
    pocket_leakyrelu or identity. Weights and biases are int16.
    """

    units: int
    activation: str = "pocket_tanh"

    def __post_init__(self) -> None:
        make_plain(self)

    @property
    def title(self) -> str:
        """The layer in words, for messages."""
        return f"Dense({self.units}, {self.activation!r})"

    def describe(self, in_shape: tuple[int, ...]) -> str:
        """The layer in the model's canonical text."""
        return f"dense {fan_in(in_shape)} -> {self.units} {self.activation}"

    def check(self, index: int) -> None:
        """Raise ModelError for an unknown activation or an impossible size."""
        if not is_whole(self.units):
            raise ModelError(f"layer {index}: units is {self.units!r}; give a whole number")
        if not 1 <= self.units <= MAX_UNITS:
            raise ModelError(f"layer {index}: units is {self.units}; the range is 1..{MAX_UNITS}")
        if self.activation not in ACTIVATIONS:
            near = get_close_matches(str(self.activation), ACTIVATIONS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ModelError(
                f"layer {index}: unknown activation {self.activation!r}; {hint}"
                f"known are {', '.join(ACTIVATIONS)}"
            )

    def check_site(self, site: Site) -> None:
        """Raise ModelError for an activation that the rule's arithmetic does not have."""
        if site.int8 is not None:
            dense_int8.check(self, site)

    def output_shape(self, in_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(units,)."""
        return (self.units,)

    def fans(self, in_shape: tuple[int, ...]) -> tuple[int, int]:
        """(inputs, units)."""
        return fan_in(in_shape), self.units

    def buffers(self, site: Site) -> tuple[Buffer, ...]:
        """W (units x fan_in in C, fan_in x units for users), b, h, a; in training also g."""
        if site.int8 is not None:
            return dense_int8.buffers(self, site, site.int8)
        n, k, kept = self.units, site.index, site.training
        limits = Range(-WEIGHT_LIMIT, WEIGHT_LIMIT)
        weights = Buffer(
            site.name("W"),
            "weight",
            (n, fan_in(site.in_shape)),
            "int16",
            limits,
            layer=k,
            axes=(1, 0),
            note="weights",
        )
        bias = Buffer(site.name("b"), "bias", (n,), "int16", limits, layer=k, note="biases")
        h = Buffer(
            site.name("h"),
            "activation",
            (n,),
            per_sample=True,
            kept=kept,
            layer=k,
            note="pre-activations",
        )
        a = Buffer(
            site.name("a"),
            "activation",
            (n,),
            per_sample=True,
            kept=kept,
            layer=k,
            note="activations",
        )
        g = Buffer(site.name("g"), "slope", (n,), per_sample=True, layer=k, note="inverse slopes")
        if site.training:
            return weights, bias, h, a, g
        return (weights, bias, a) if self.passes_on(site) else (weights, bias, h, a)

    def passes_on(self, site: Site) -> bool:
        """Whether the sums themselves are the output: then they need no array of their own."""
        return self.activation == "identity" and not site.training

    def forward(self, site: Site) -> tuple[Step, ...]:
        """h = W x + b, then the activation, where it is more than a copy that training keeps."""
        if site.int8 is not None:
            return dense_int8.forward(self, site, site.int8)
        sizes = {
            "fan_in": fan_in(site.in_shape),
            "fan_out": self.units,
            # Only an unbounded output can bring a - y near the limit of 32 bits.
            "headroom": site.headroom if self.activation == "identity" else 0,
        }
        kernel = ACTIVATIONS[self.activation]
        # PocketTanh's divisor grows with the fan-in, as in PocketNN's published program.
        activation_sizes = {"n": self.units, "divisor": 256 * fan_in(site.in_shape)}
        operands = {"h": site.name("h"), "a": site.name("a")}
        if site.training:
            operands["g"] = site.name("g")
        forward = DENSE_FORWARD_WIDE if site.wide_sums else DENSE_FORWARD
        sums = Step(
            forward,
            {
                "x": site.source,
                "W": site.name("W"),
                "b": site.name("b"),
                "h": site.name("a" if self.passes_on(site) else "h"),
            },
            sizes,
            f"layer {site.index}: {forward.equation}",
            site.index,
        )
        if self.passes_on(site):
            return (sums,)
        return sums, Step(
            kernel,
            operands,
            {name: activation_sizes[name] for name in kernel.sizes},
            f"layer {site.index}: {kernel.equation}",
            site.index,
        )

    def weight_updates(
        self, site: Site, delta: str, update: Step, bias_update: Step | None = None
    ) -> tuple[Step, ...]:
        """W and b moved by the rule's update, from x and delta of the whole batch."""
        if site.int8 is not None:
            weights = dense_int8.weight_update(self, site, delta, update)
            return weights, self.bias_step(site, delta, bias_update or update)
        sizes = {"fan_in": fan_in(site.in_shape), "fan_out": self.units, "batch": site.batch}
        return (
            Step(
                DENSE_UPDATE_WEIGHTS,
                {"x": site.source, "delta": delta, "n": "n", "W": site.name("W")},
                {**sizes, "tile": even_tile(sizes["fan_in"])},
                f"layer {site.index}: {DENSE_UPDATE_WEIGHTS.equation}",
                site.index,
                "once",
                update,
            ),
            self.bias_step(site, delta, bias_update or update),
        )

    def bias_step(self, site: Site, delta: str, update: Step) -> Step:
        """b moved by the rule's update."""
        return Step(
            DENSE_UPDATE_BIAS,
            {"delta": delta, "n": "n", "b": site.name("b")},
            {"fan_out": self.units, "batch": site.batch},
            f"layer {site.index}: {DENSE_UPDATE_BIAS.equation}",
            site.index,
            "once",
            update,
        )

    def input_gradient(self, site: Site, delta: str, result: str) -> tuple[Step, ...]:
        """s = delta W, or where the forward pass sees 8 bits of W, these."""
        if site.int8 is not None:
            return (dense_int8.input_gradient(self, site, site.int8, delta, result),)
        return (
            Step(
                DENSE_INPUT_GRADIENT,
                {"delta": delta, "W": site.name("W"), "s": result},
                {"fan_in": fan_in(site.in_shape), "fan_out": self.units},
                f"layer {site.index}: {DENSE_INPUT_GRADIENT.equation}",
                site.index,
            ),
        )
