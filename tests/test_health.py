"""The health figures: against sums done by hand, on both engines, and without any effect."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

import pocketgen as pg
from pocketgen import datasets
from pocketgen.errors import DataError, ModelError
from pocketgen.examples import EXAMPLES
from pocketgen.health import Health, spread

ENGINES: tuple[Literal["c", "numpy"], ...] = ("c", "numpy")
X = np.array([[10, 1], [20, 2], [30, 3], [255, 4]], dtype=np.uint8)
Y = np.array([0, 1, 0, 1], dtype=np.uint16)


def quotient(n: int, d: int) -> int:
    """C's n / d."""
    return abs(n) // abs(d) * (1 if (n < 0) == (d < 0) else -1)


@pytest.mark.parametrize("engine", ENGINES)
def test_inverse_slopes_by_hand(engine: Literal["c", "numpy"]) -> None:
    """Unit 1 always flat, unit 2 always 0, unit 3 flat on the last of four samples."""
    layers = [pg.Dense(3), pg.Dense(2, "identity")]
    model = pg.Model("byhand", pg.Input((2,)), layers, pg.DFA(lr_inv=50, batch=4, target=100))
    net = pg.build(model, engine=engine)
    w1 = np.array([[9000, 0, 512], [0, 0, 0]], dtype=np.int16)
    net.set_weights(
        {
            "W1": w1,
            "b1": np.zeros(3, np.int16),
            "W2": np.array([[1, 0], [0, 0], [0, 1]], np.int16),
            "b2": np.zeros(2, np.int16),
        }
    )
    digest, arrays = net.digest(), net.kept()
    found = net.health(X, Y)

    # The same update with Python's integers alone: v = x W1 / 512 is 175 and more, 0, and x[0].
    feedback = net.feedback()["R1"].tolist()
    gradient1 = [[0] * 3 for _ in range(2)]
    gradient2 = [[0] * 2 for _ in range(3)]
    for (x0, x1), label in zip(X.tolist(), Y.tolist(), strict=True):
        a1 = [127, 0, {10: 20, 20: 40, 30: 60, 255: 127}[x0]]
        slope = [127, 1, 127 if x0 == 255 else 1]
        e = [a1[0], a1[2]]
        e[label] -= 100
        for unit in range(3):
            s = e[0] * feedback[0][unit] + e[1] * feedback[1][unit]
            delta = quotient(s, slope[unit])
            gradient1[0][unit] += x0 * delta
            gradient1[1][unit] += x1 * delta
            for k in range(2):
                gradient2[unit][k] += a1[unit] * e[k]
    moves = [quotient(g, 50) for row in gradient1 + gradient2 for g in row]
    assert 0 < moves.count(0) < 12  # else this would show nothing
    assert found == Health(
        saturated=5 / 12,
        dead_units=2,
        hidden_units=3,
        zero_updates=pytest.approx(moves.count(0) / 12),
        samples=4,
    )
    assert net.digest() == digest
    assert all((net.kept()[name] == values).all() for name, values in arrays.items())


@pytest.mark.parametrize("engine", ENGINES)
def test_slopes_by_hand(engine: Literal["c", "numpy"]) -> None:
    """z = x w / 32 of the first input: 7, 15, 22 and 191 with w = 24, which is flat from 128 on."""
    layers = [pg.Dense(2), pg.Dense(2, "identity")]
    rule = pg.CrossEntropyDFA(batch=1, dropout=0, rate=1, rate_shift=20)
    net = pg.build(pg.Model("byhand2", pg.Input((2,)), layers, rule), engine=engine)
    weights = {name: np.zeros_like(values) for name, values in net.weights().items()}
    weights["W1"][0] = 24 * 256
    net.set_weights(weights)
    found = net.health(X, Y)
    # The output is even, so |e| is 128; steps of |e| a / 2^20 and less round to 0.
    assert found == Health(
        saturated=0.25, dead_units=0, hidden_units=2, zero_updates=1.0, samples=4
    )


@pytest.mark.parametrize("name", ["xor", "digits", "sine"])
def test_both_engines_tell_the_same(name: str) -> None:
    example = EXAMPLES[name]
    data = example.load()
    found = []
    for engine in ENGINES:
        net = pg.build(example.model, engine=engine)
        net.fit(data.x_train[:200], data.y_train[:200], 2)
        found.append(net.health(data.x_train, data.y_train))
    assert found[0] == found[1]
    assert found[0].samples == {"xor": 4, "digits": 240, "sine": 256}[name]
    assert 0 < found[0].zero_updates < 1


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_training_does_not_notice(rounding: Literal["nearest", "stochastic"]) -> None:
    data = datasets.load("digits")
    base = EXAMPLES["digits"].model
    rule = pg.CrossEntropyBackprop(rate_shift=11, rounding=rounding)
    model = pg.Model("watched", base.input, base.layers, rule)
    nets = [pg.build(model), pg.build(model)]
    plain, watched = (
        net.fit(data.x_train, data.y_train, 3, health=wanted, validation_data=(X0, Y0))
        for net, wanted, (X0, Y0) in zip(
            nets, (False, True), 2 * [(data.x_train[:50], data.y_train[:50])], strict=True
        )
    )
    assert nets[0].to_blob() == nets[1].to_blob()
    assert [row.loss for row in plain.epochs] == [row.loss for row in watched.epochs]
    assert all(row.health is None for row in plain.epochs)
    assert all(isinstance(row.health, Health) for row in watched.epochs)
    told: Any = watched.to_dict()["epochs"][2]["health"]
    assert set(told) == {"saturated", "dead_units", "hidden_units", "zero_updates", "samples"}


def test_a_network_without_hidden_layers_has_no_units() -> None:
    rule = pg.CrossEntropyDFA(dropout=0)
    net = pg.build(pg.Model("flat", pg.Input((2,)), [pg.Dense(2, "identity")], rule))
    found = net.health(X, Y)
    assert (found.saturated, found.dead_units, found.hidden_units) == (0.0, 0, 0)
    assert found.samples == 4


def test_which_samples_are_looked_at() -> None:
    assert spread(3, 20).tolist() == [0, 1, 2]
    assert len(spread(10**6, 20)) == 240
    assert len(spread(10**6, 1)) == 64
    assert len(spread(10**6, 1000)) == 1000
    assert len(spread(700, 1000)) == 700
    rows = spread(60000, 20)
    assert rows[0] == 0
    assert set(np.diff(rows)) == {250}


def test_data_that_do_not_fit_are_refused_and_nothing_changes() -> None:
    net = pg.build(EXAMPLES["xor"].model, engine="numpy")
    digest = net.digest()
    for x, y in ((X[:0], Y[:0]), (X, Y[:3]), (X[:, :1], Y), (X, Y + 9), (X[0, 0], Y[0])):
        with pytest.raises(DataError):
            net.health(x, y)
    assert net.digest() == digest
    weights = net.weights()
    frozen = pg.build(EXAMPLES["xor"].model, weights, engine="numpy", inference_only=True)
    with pytest.raises(ModelError):
        frozen.health(X, Y)
