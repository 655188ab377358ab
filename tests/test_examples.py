"""The named models: they fit their data, learn what they promise, and are as small as they say."""

from __future__ import annotations

import numpy as np
import pytest

import pocketgen as pg
from pocketgen.examples import EXAMPLES, Example
from pocketgen.fit import fit
from support import data_folder

BUILT_IN = ["xor", "digits", "sine", "sensor"]
IMAGES = ["mnist", "fashion_mnist", "pocketnn"]


def trained(example: Example, epochs: int | None = None) -> dict[str, float]:
    """Test figures after the example's own training."""
    data = example.load()
    net = pg.build(example.model)
    fit(
        net,
        data.x_train,
        data.y_train,
        example.epochs if epochs is None else epochs,
        halve_every=example.halve_every,
    )
    return net.evaluate(data.x_test, data.y_test)


def test_the_examples_are_these() -> None:
    assert sorted(EXAMPLES) == sorted(BUILT_IN + IMAGES)
    assert all(name == example.name for name, example in EXAMPLES.items())
    names = [example.model.name for example in EXAMPLES.values()]
    assert len(set(names)) == len(names)


def test_the_published_network() -> None:
    model = EXAMPLES["pocketnn"].model
    assert model.input == pg.Input((784,), "uint8")
    assert model.layers == tuple(pg.Dense(size, "pocket_tanh") for size in (100, 50, 10))
    assert model.rule == pg.DFA(lr_inv=1000, batch=20, target=15)


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist"])
def test_an_example_is_what_its_data_ask_for(name: str) -> None:
    """Scaling and rate as Model.for_data finds them."""
    if name in IMAGES:
        data_folder(name)
    example = EXAMPLES[name]
    data = example.load()
    hidden = [layer.units for layer in example.model.layers[:-1]]
    found = pg.Model.for_data(name, data.x_train, data.y_train, hidden, example.epochs)
    assert found.input.scale == example.model.input.scale
    assert found.layers == example.model.layers
    assert found.rule.rate_shift == example.model.rule.rate_shift


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_example_fits_its_data(name: str) -> None:
    example = EXAMPLES[name]
    data = example.load()
    assert data.x_train.dtype == data.x_test.dtype == np.dtype(example.model.input.dtype)
    net = pg.build(example.model, engine="numpy")
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        net.check_pairs(x, y)
    assert len(data.classes) in (0, example.model.classes)


@pytest.mark.parametrize("name", [*BUILT_IN, *IMAGES])
def test_an_example_says_what_it_is(name: str) -> None:
    example = EXAMPLES[name]
    assert len(example.title) <= 80
    assert example.reaches
    assert f"{example.model.name}.h" in pg.generate(example.model)


@pytest.mark.parametrize(("name", "accuracy"), [("xor", 1.0), ("digits", 0.9), ("sensor", 0.93)])
def test_an_example_learns_what_it_promises(name: str, accuracy: float) -> None:
    assert trained(EXAMPLES[name])["accuracy"] >= accuracy


def test_the_regression_learns_what_it_promises() -> None:
    assert trained(EXAMPLES["sine"])["mae"] < 1


@pytest.mark.parametrize("name", ["xor", "sensor", "digits"])
def test_an_example_does_not_learn_by_luck(name: str) -> None:
    example = EXAMPLES[name]
    data = example.load()
    net = pg.build(example.model)
    reached = []
    for seed in range(1, 6):
        net.init(seed)
        fit(
            net,
            data.x_train,
            data.y_train,
            example.epochs,
            shuffle_seed=seed,
            halve_every=example.halve_every,
        )
        reached.append(net.evaluate(data.x_test, data.y_test)["accuracy"])
    assert min(reached) >= {"xor": 1.0, "sensor": 0.92, "digits": 0.89}[name]


def test_sine_feeds_one_angle_to_all_inputs() -> None:
    data = EXAMPLES["sine"].load()
    assert data.x_train.shape[1] == 8
    assert (data.x_train == data.x_train[:, :1]).all()
    scale = EXAMPLES["sine"].model.input.scale
    assert scale is not None
    fed = scale.apply(np.repeat(np.arange(-32768, 32768)[:, None], 8, axis=1))
    moving = (np.abs(fed) < 127).sum(axis=1)
    assert moving.max() == 1  # at every angle at most one input is between its ends
    assert (np.diff(fed, axis=0) >= 0).all()
    assert (fed.min(axis=0) == -127).all()
    assert (fed.max(axis=0) >= 126).all()


def test_sensor_leaves_room_in_the_2_kib_of_an_atmega328p() -> None:
    net = pg.build(EXAMPLES["sensor"].model, engine="numpy")
    assert net.plan.ram_bytes <= 1400
    assert net.feedback() == {}  # drawn again at every use


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "accuracy"), [("mnist", 0.945), ("fashion_mnist", 0.8), ("pocketnn", 0.945)]
)
def test_a_network_of_images_learns_in_one_epoch(name: str, accuracy: float) -> None:
    data_folder(EXAMPLES[name].data.replace("-", "_"))
    assert trained(EXAMPLES[name], epochs=1)["accuracy"] >= accuracy
