"""The named models: behind generated/, the demo, the tests, the benchmarks, and to copy from.

In: nothing. Out: ``EXAMPLES``, each a model, its data, and a training that works.
Not here: anything that the models are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from pocketgen.datasets import Dataset, load
from pocketgen.layers import Dense
from pocketgen.model import Input, Model, Scale
from pocketgen.rules import DFA, Backprop, CrossEntropyDFA


@dataclass(frozen=True)
class Example:
    """A model with data that it learns from.

    name: of the example and its folder in generated/; the model's own name is the C prefix.
    data: name for ``datasets.load``. copies: the data's one feature is fed to so many inputs.
    epochs, halve_every: a training that reaches ``reaches``, in words, on the test samples.
    """

    name: str
    title: str
    model: Model
    data: str
    epochs: int
    reaches: str
    halve_every: int | None = None
    copies: int = 1

    def load(self) -> Dataset:
        """The samples as the model takes them; DataError if they cannot be had."""
        data = load(self.data)
        if self.copies == 1:
            return data
        return replace(
            data,
            x_train=np.repeat(data.x_train, self.copies, axis=1),
            x_test=np.repeat(data.x_test, self.copies, axis=1),
        )


def _dense(activation: str, *units: int) -> list[Dense]:
    return [Dense(count, activation) for count in units]


def _classifier(*units: int) -> list[Dense]:
    return [*_dense("pocket_tanh", *units[:-1]), Dense(units[-1], "identity")]


def _segments(count: int) -> Scale:
    """Input k is a ramp -127..127 over the k-th part of the int16 range, and flat outside.

    Integer biases move slowly beside weights, whose inputs are a hundred times larger. Inputs that
    switch at different places give a network of one reading the bends that it needs.
    """
    middles = tuple((2 * k + 1 - count) * 32768 // count for k in range(count))
    return Scale(offset=middles, multiplier=254 * count, shift=16)


# Pixels 0..255 become 0..127; most are 0, and zeros cost nothing.
_PIXELS = Input((784,), "uint8", scale=Scale(shift=1))

EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        example.name: example
        for example in (
            Example(
                "xor",
                "exclusive or, by backpropagation",
                Model(
                    "xor_net",  # xor is a word of C++
                    Input((2,), "uint8"),
                    _dense("pocket_tanh", 8, 2),
                    Backprop(lr_inv=3000, batch=4, target=64),
                ),
                data="xor",
                epochs=200,
                reaches="all four right",
            ),
            Example(
                "digits",
                "handwritten digits of 8 x 8 pixels, built in",
                Model(
                    "digits",
                    Input((64,), "uint8", range=(0, 16), scale=Scale(multiplier=8)),
                    _classifier(64, 32, 10),
                    CrossEntropyDFA(rate_shift=12),
                ),
                data="digits",
                epochs=60,
                reaches="91 to 92 %",
            ),
            Example(
                "mnist",
                "MNIST, 784-100-50-10",
                Model("mnist", _PIXELS, _classifier(100, 50, 10), CrossEntropyDFA()),
                data="mnist",
                epochs=100,
                reaches="98.1 to 98.3 %",
            ),
            Example(
                "fashion_mnist",
                "Fashion-MNIST, 784-200-100-50-10",
                Model(
                    "fashion_mnist",
                    _PIXELS,
                    _classifier(200, 100, 50, 10),
                    CrossEntropyDFA(batch=40, dropout=1, rate_shift=14, rounding="stochastic"),
                ),
                data="fashion-mnist",
                epochs=150,
                reaches="89.5 to 89.9 %",
            ),
            Example(
                "pocketnn",
                "MNIST by the published PocketNN program's network and rule",
                Model(
                    "pocketnn",
                    Input((784,), "uint8"),
                    _dense("pocket_tanh", 100, 50, 10),
                    DFA(lr_inv=1000, batch=20, target=15),
                ),
                data="mnist",
                epochs=10,
                reaches="96.5 to 97 %",
            ),
            Example(
                "sine",
                "a regression: the sine of an angle",
                Model(
                    "sine",
                    Input((8,), "int16", scale=_segments(8)),
                    _dense("pocket_tanh", 16, 1),
                    DFA(lr_inv=1000, batch=8, target="vector", target_range=(-100, 100)),
                ),
                data="sine",
                epochs=400,
                reaches="within 1 of -100..100 on average",
                halve_every=100,
                copies=8,
            ),
            Example(
                "sensor",
                "tap, shake or tilt: learns sample by sample in the 2 KiB of an ATmega328P",
                Model(
                    "sensor",
                    Input((16,), "int8", scale=Scale(multiplier=15, shift=3)),
                    _classifier(20, 4),
                    CrossEntropyDFA(batch=1, rate_shift=11, feedback="seeded"),
                ),
                data="sensor",
                epochs=40,
                reaches="95 to 96 %",
            ),
        )
    }
)
