"""Verification: it passes where C and numpy agree, and sees every kind of difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pocketgen as pg
from pocketgen.errors import DataError, PocketgenError
from pocketgen.verify import verify

classes = pg.Model("v", pg.Input((5,), "int8"), [pg.Dense(7), pg.Dense(3)], pg.DFA(batch=4))
regression = pg.Model(
    "vr",
    pg.Input((3,), "uint8", range=(10, 20)),
    [pg.Dense(4, "pocket_relu8bit"), pg.Dense(2, "identity")],
    pg.Backprop(batch=3, target="vector", target_range=(-9, 9)),
)


@pytest.mark.parametrize("model", [classes, regression], ids=lambda model: model.name)
def test_c_and_numpy_agree(model: pg.Model) -> None:
    result = verify(model, steps=30)
    assert result.agrees
    assert result.mismatch is None
    assert result.steps == 30
    assert 30 < result.samples <= 30 * model.rule.batch
    assert result.digest_c == result.digest_numpy
    assert {"W1", "b1", "h1", "a1", "g1", "delta1", "e"} <= set(result.buffers)
    assert result.values > 30 * 5


def test_the_weights_have_moved() -> None:
    assert verify(classes, steps=30).digest_c != verify(classes, steps=29).digest_c


def test_the_seed_decides_the_inputs() -> None:
    digests = [verify(classes, steps=9, seed=seed).digest_c for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_given_samples_are_used() -> None:
    x, y = np.full((6, 5), 100, np.int8), np.arange(6) % 3
    result = verify(classes, steps=8, data=(x, y))
    assert result.agrees
    assert result.inputs[-1] == "data"
    assert result.digest_c != verify(classes, steps=8).digest_c


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    verify(classes, steps=3, progress=lambda done, steps: told.append((done, steps)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "index"), [("W1", (4, 6)), ("b1", (6,)), ("W2", (0, 0)), ("b2", (2,))]
)
def test_a_single_different_weight_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, index: tuple[int, ...]
) -> None:
    original = pg.build

    def altered(model: pg.Model, **options: Any) -> pg.Net:
        net = original(model, **options)
        if net.engine == "numpy":
            weights = net.weights()
            weights[name][index] += 1
            net.set_weights(weights)
        return net

    monkeypatch.setattr(pg, "build", altered)
    result = verify(classes, steps=5)
    assert not result.agrees
    assert result.steps == 1
    assert result.mismatch is not None
    assert result.mismatch.buffer == name
    assert result.mismatch.index == index
    assert result.mismatch.numpy == result.mismatch.c + 1
    assert result.digest_c != result.digest_numpy


def test_a_different_learning_rate_in_the_blob_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    original = pg.build

    def altered(model: pg.Model, **options: Any) -> pg.Net:
        net = original(model, **options)
        if net.engine == "c":
            net.lr_shift = 15
        return net

    monkeypatch.setattr(pg, "build", altered)
    result = verify(regression, steps=5)
    assert result.mismatch is not None


@pytest.mark.parametrize("steps", [0, -1, True])
def test_steps_that_make_no_sense_are_refused(steps: Any) -> None:
    with pytest.raises(PocketgenError, match="steps"):
        verify(classes, steps=steps)


def test_samples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError):
        verify(classes, data=(np.zeros((3, 4), np.int8), [0, 1, 2]))
