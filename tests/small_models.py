"""Models for the tests of the stages behind lowering: small, quick to compile, all unlike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

import pocketgen as pg
from pocketgen.bounds import bounds
from pocketgen.ir import Program
from pocketgen.lower import lower
from pocketgen.plan import Plan, plan
from pocketgen.selftest import vectors

TANH = "pocket_tanh"


def stack(*layers: tuple[int, str]) -> list[pg.Dense]:
    return [pg.Dense(units, activation) for units, activation in layers]


def column(n: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(low + k * 37 % (high - low + 1) for k in range(n))


BITS = pg.Input((2,), "uint8", (0, 15))
MODELS = {
    "dfa": pg.Model("dfa", pg.Input((6,)), stack((5, TANH), (4, TANH), (3, TANH)), pg.DFA(batch=4)),
    "seeded": pg.Model(
        "seeded",
        pg.Input((2, 3), "int8"),
        stack((5, TANH), (3, "pocket_sigmoid")),
        pg.DFA(lr_inv=7, batch=4, target=127, feedback="seeded"),
        seed=9,
    ),
    "backprop": pg.Model(
        "backprop",
        pg.Input((6,), "int8"),
        stack((40, TANH), (40, TANH), (40, "pocket_relu8bit"), (3, TANH)),
        pg.Backprop(lr_inv=100, batch=3),
        seed=2**32 - 1,
    ),
    "vector": pg.Model(
        "vector",
        pg.Input((6,), "int16", scale=pg.Scale(100, 3, 8, "int16")),
        stack((5, "pocket_leakyrelu"), (2, "identity")),
        pg.DFA(batch=4, target="vector", target_range=(-300, 500)),
    ),
    "features": pg.Model(
        "per_feature",
        pg.Input((6,), "uint16", scale=pg.Scale(column(6, 0, 65535), column(6, -9, 999), 12)),
        stack((5, TANH), (3, "identity")),
        pg.Backprop(batch=4, target=-20),
    ),
    "wide": pg.Model(
        "wide",
        pg.Input((300,), "uint8"),
        stack((3, TANH), (2, TANH)),
        pg.DFA(lr_inv=1, batch=2, wide_sums=True),
    ),
    "one": pg.Model("one", pg.Input((1,), "uint8"), stack((1, "identity")), pg.DFA(batch=1)),
    "long name": pg.Model(
        "a_name_as_long_as_a_name_can_be1", BITS, stack((3, TANH), (2, TANH)), pg.DFA()
    ),
    "regression": pg.Model(
        "regression",
        pg.Input((3,), "int8"),
        stack((4, TANH), (1, "pocket_leakyrelu")),
        pg.Backprop(batch=5, target="vector"),
    ),
    "softmax": pg.Model(
        "softmax",
        pg.Input((40,), "uint8", (0, 127)),
        stack((6, TANH), (5, TANH), (4, "identity")),
        pg.CrossEntropyDFA(batch=4, dropout=3, rate_shift=8, rounding="stochastic"),
        seed=3,
    ),
    "bytes": pg.Model(
        "bytes",
        pg.Input((6,), "int8", scale=pg.Scale(3, 5, 2)),
        stack((5, TANH), (3, "identity")),
        pg.CrossEntropyDFA(
            batch=1,
            rate=255,
            rate_shift=10,
            rounding="stochastic",
            weights="int8",
            feedback="seeded",
        ),
    ),
    "backwards": pg.Model(
        "backwards",
        pg.Input((20,), "uint8", scale=pg.Scale(0, 1, 1)),
        stack((6, TANH), (5, TANH), (3, "identity")),
        pg.CrossEntropyBackprop(batch=4, rate_shift=8),
        seed=4,
    ),
    "raw": pg.Model(
        "raw",
        pg.Input((6,), "uint8"),
        stack((5, TANH), (3, "identity")),
        pg.CrossEntropyDFA(batch=3, dropout=0, rate_shift=8),
    ),
}


def some_weights(model: pg.Model, largest: int = 50, seed: int = 1) -> dict[str, np.ndarray]:
    """Random weights and biases of a model, by their largest value in the forward pass."""
    largest *= model.fraction
    rng = np.random.default_rng(seed)
    sizes = [model.input.features, *(layer.units for layer in model.layers)]
    made = {}
    for k, (fan_in, fan_out) in enumerate(pairwise(sizes), 1):
        made[f"W{k}"] = rng.integers(-largest, largest, (fan_in, fan_out), endpoint=True)
        made[f"b{k}"] = rng.integers(-largest, largest, fan_out, endpoint=True)
    return made


@dataclass(frozen=True)
class Library:
    """A model as it is generated: to train from its own start or from given weights, or not."""

    model: pg.Model
    start: str = "own"
    largest: int = 50  # given weight

    @property
    def options(self) -> dict:
        weights = {} if self.start == "own" else {"weights": some_weights(self.model, self.largest)}
        return {**weights, "inference_only": self.start == "inference only"}

    def program(self) -> Program:
        return bounds(lower(self.model, **self.options))

    def plan(self) -> Plan:
        program = self.program()
        return plan(program, vectors(program), pg.__version__)

    def files(self) -> dict[str, str]:
        return pg.generate(self.model, **self.options)


LIBRARIES = {
    f"{name}, {start}": Library(model, start)
    for name, model in MODELS.items()
    for start in ("own", "given", "inference only")
}


def samples(model: pg.Model, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random raw inputs (n, features), and labels (n,) or targets (n, outputs)."""
    rng = np.random.default_rng(seed)
    limits = model.input.limits
    x = rng.integers(limits.low, limits.high, (n, model.input.features), endpoint=True)
    if model.rule.expects == "label":
        return x, rng.integers(0, model.classes, n)
    targets = model.rule.targets
    return x, rng.integers(targets.low, targets.high, (n, model.classes), endpoint=True)
