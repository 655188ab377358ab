"""A model written as Python makes an equal model again."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import pocketgen as pg
from pocketgen.examples import EXAMPLES
from pocketgen.model import Model
from pocketgen.source import source

RNG = np.random.default_rng(5)
WIDE = pg.Scale.fit(RNG.integers(0, 4000, (50, 300)), per_feature=True)
LAYERS = [pg.Dense(5), pg.Dense(3, "identity")]
OTHERS = (
    Model("wide", pg.Input((300,), "uint16", (0, 4095), WIDE), LAYERS, pg.CrossEntropyDFA()),
    Model("shape", pg.Input((4, 5, 2), "int8"), LAYERS, pg.CrossEntropyBackprop(dropout=0), 2**31),
    Model(
        "bytes",
        pg.Input((1,)),
        LAYERS,
        pg.CrossEntropyDFA(
            batch=1, weights="int8", rounding="stochastic", schedule="constant", feedback="seeded"
        ),
    ),
    Model(
        "numpys",
        pg.Input((int(np.int64(3)),), "int16", (np.int64(-5), np.int16(5))),  # type: ignore[arg-type]
        [pg.Dense(np.int64(4), "pocket_relu8bit"), pg.Dense(2)],  # type: ignore[arg-type]
        pg.Backprop(
            target="vector",
            target_range=(np.int16(-9), np.int64(9)),  # type: ignore[arg-type]
            wide_sums=True,
        ),
    ),
)


def made(text: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(text, "model.py", "exec"), names)
    return names["model"]


@pytest.mark.parametrize(
    "model", [*(e.model for e in EXAMPLES.values()), *OTHERS], ids=lambda model: str(model.name)
)
def test_the_text_makes_an_equal_model(model: Model) -> None:
    text = source(model, "A title.")
    again = made(text)
    assert again == model
    assert (again.description, again.layout_digest) == (model.description, model.layout_digest)
    assert source(again, "A title.") == text
    assert text.startswith('"""A title."""\n\nimport pocketgen as pg\n')
    assert max(map(len, text.splitlines())) <= 100


def test_different_models_have_different_texts() -> None:
    models = [*(e.model for e in EXAMPLES.values()), *OTHERS]
    texts = [source(model) for model in models]
    assert all(a != b for a, b in itertools.combinations(texts, 2))
    assert source(OTHERS[0]) != source(Model("wide", OTHERS[0].input, LAYERS, OTHERS[0].rule, 2))


def test_options_that_have_their_default_are_left_out() -> None:
    text = source(EXAMPLES["mnist"].model)
    assert "rule=pg.CrossEntropyDFA()," in text
    assert "dtype" not in text
