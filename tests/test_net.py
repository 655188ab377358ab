"""A network in the user's hands: what it refuses, and that both engines behave alike."""

from __future__ import annotations

import re
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cffi import FFI

import oracle
import pocketgen as pg
from kernels.single import limited, trunc
from pocketgen.errors import CompilerError, DataError, ModelError, OutputError, PocketgenError
from pocketgen.examples import EXAMPLES
from pocketgen.host import ALWAYS, Engine, compile_library, compiler
from pocketgen.selftest import STEPS, vectors
from small_models import LIBRARIES, MODELS, TANH, Library, samples, some_weights, stack

ENGINES = ("c", "numpy")
CLASSES = pg.Model(
    "classes",
    pg.Input((2, 3), "uint8", (0, 200)),
    stack((5, TANH), (4, TANH)),
    pg.DFA(lr_inv=3, batch=4),
)
VALUES = pg.Model(
    "values",
    pg.Input((6,), "int8"),
    stack((5, TANH), (2, "pocket_leakyrelu")),
    pg.Backprop(lr_inv=9, batch=4, target="vector", target_range=(-50, 100)),
)
CLAMPED = pg.Model("clamped", pg.Input((784,)), stack((2, TANH)), pg.DFA())


@pytest.fixture(scope="module", autouse=True)
def _throw_away_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def network(model: pg.Model, engine: str, **more: Any) -> pg.Net:
    return pg.build(model, engine=engine, flags=("-O1",) if engine == "c" else None, **more)


@pytest.fixture(params=ENGINES)
def net(request: pytest.FixtureRequest) -> pg.Net:
    """A classifier, somewhat trained."""
    made = network(CLASSES, request.param)
    made.train_samples(*samples(CLASSES, 12), np.arange(12))
    return made


@pytest.fixture(params=ENGINES)
def regression(request: pytest.FixtureRequest) -> pg.Net:
    made = network(VALUES, request.param)
    made.train_samples(*samples(VALUES, 12), np.arange(12))
    return made


def everything(net: pg.Net) -> dict[str, bytes]:
    rate = getattr(net, net.model.rule.rate_state)
    return {"rate": bytes([rate])} | {k: v.tobytes() for k, v in net.buffers.items()}


def refused(net: pg.Net, call: Callable[[], object], *words: object) -> None:
    """call raises a DataError of one line with all the words, and the network is as it was."""
    before = everything(net)
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message
    assert everything(net) == before


# --- samples that are refused -------------------------------------------------------------------

X = np.full((3, 6), 7)


def with_value(value: float) -> np.ndarray:
    x = X.astype(type(value))
    x[1, 4] = value
    return x


BAD_SAMPLES = {
    "a number": (5, "shape is ()"),
    "one sample alone": (X[0], "shape is (6,)", "n x 2 x 3"),
    "too few features": (X[:, :5], "shape is (3, 5)", "n x 2 x 3"),
    "too many features": (np.ones((3, 7), int), "shape is (3, 7)"),
    "another picture": (np.ones((3, 3, 2), int), "shape is (3, 3, 2)"),
    "four axes": (np.ones((3, 1, 2, 3), int), "shape is (3, 1, 2, 3)"),
    "fractions": (X / 2, "float64", "uint8", "convert"),
    "whole floats": (X.astype(np.float32), "float32"),
    "NaN": (with_value(np.nan), "NaN"),
    "infinity": (with_value(np.inf), "NaN or infinity"),
    "booleans": (X > 0, "bool"),
    "text": (X.astype(str), "dtype"),
    "complex": (X + 1j, "complex"),
    "nothing": (None, "dtype is object"),
    "objects": (X.astype(object), "dtype is object"),
    "beyond 64 bits": ([[2**70] * 6], "dtype is object"),
    "no samples": (X[:0], "no samples"),
    "an empty list": ([], "input"),
    "too small": (with_value(-1), "values -1..7", "0..200"),
    "too large": (with_value(201), "values 7..201", "0..200"),
    "far too large": (with_value(2**40), 2**40),
    "rows of different lengths": ([[1] * 6, [1] * 5], "input"),
}


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_bad_samples(net: pg.Net, name: str) -> None:
    x, *words = BAD_SAMPLES[name]
    labels = np.zeros(len(x) if hasattr(x, "__len__") else 1, int)
    calls: list[Callable[[], object]] = [
        lambda: net.forward(x),
        lambda: net.predict(x),
        lambda: net.evaluate(x, labels),
        lambda: net.train_batch(x, labels),
        lambda: net.train_samples(x, labels, np.arange(len(labels))),
    ]
    for call in calls:
        refused(net, call, *words)


BAD_LABELS = {
    "columns": (np.zeros((3, 1), int), "shape (3, 1)", "(n,)"),
    "one-hot": (np.eye(3, 4, dtype=int), "shape (3, 4)"),
    "a number": (1, "shape ()"),
    "floats": (np.zeros(3), "float64", "integers"),
    "NaN": (np.full(3, np.nan), "float64"),
    "booleans": (np.zeros(3, bool), "bool"),
    "text": (["0", "1", "2"], "labels"),
    "nothing": (None, "labels"),
    "negative": ([0, -1, 2], "-1..2", "0..3"),
    "too large": ([0, 4, 2], "0..4", "4 outputs", "0..3"),
    "beyond 16 bits": ([0, 65536, 2], 65536),
    "too few": ([0, 1], "3 samples but 2"),
    "too many": ([0, 1, 2, 3], "3 samples but 4"),
    "none": (np.zeros(0, int), "3 samples but 0"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(net: pg.Net, name: str) -> None:
    labels, *words = BAD_LABELS[name]
    refused(net, lambda: net.evaluate(X, labels), *words)
    refused(net, lambda: net.train_batch(X, labels), *words)
    refused(net, lambda: net.train_samples(X, labels, [0]), *words)


Y = np.zeros((3, 2), int)
BAD_TARGETS = {
    "one number each": (Y[:, 0], "shape is (3,)", "n x 2"),
    "too few": (Y[:, :1], "shape is (3, 1)", "n x 2"),
    "too many": (np.zeros((3, 3), int), "shape is (3, 3)", "n x 2"),
    "three axes": (np.zeros((3, 2, 1), int), "shape is (3, 2, 1)"),
    "floats": (Y / 2, "float64", "integers"),
    "NaN": (Y * np.nan, "float64"),
    "booleans": (Y > 0, "bool"),
    "nothing": (None, "targets"),
    "too small": (Y - 51, "-51..-51", "-50..100"),
    "too large": (Y + 101, "101..101", "-50..100"),
    "beyond 16 bits": (Y + 65536, 65536),
    "rows missing": (Y[:2], "3 samples but 2"),
    "rows of different lengths": ([[1, 2], [1], [2, 3]], "targets"),
}


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_bad_targets(regression: pg.Net, name: str) -> None:
    targets, *words = BAD_TARGETS[name]
    refused(regression, lambda: regression.evaluate(X, targets), *words)
    refused(regression, lambda: regression.train_batch(X, targets), *words)
    refused(regression, lambda: regression.train_samples(X, targets, [0]), *words)


BAD_ORDERS = {
    "floats": ([0.0, 1.0], "float64", "row numbers"),
    "an empty list": ([], "row numbers"),
    "booleans": ([True, False, True], "bool"),
    "columns": ([[0], [1]], "(2, 1)"),
    "a number": (0, "()"),
    "nothing": (None, "order"),
    "negative": ([0, -1], "-1..0", "0..2"),
    "too large": ([0, 3], "0..3", "0..2"),
    "beyond 32 bits": ([0, 2**32], 2**32),
}


@pytest.mark.parametrize("name", BAD_ORDERS)
def test_bad_orders(net: pg.Net, name: str) -> None:
    order, *words = BAD_ORDERS[name]
    refused(net, lambda: net.train_samples(X, [0, 1, 2], order), *words)


@pytest.mark.parametrize("n", [5, 6, 100])
def test_a_batch_that_is_too_large(net: pg.Net, n: int) -> None:
    refused(net, lambda: net.train_batch(*samples(CLASSES, n)), f"{n} samples", "1..4")


def test_an_order_of_no_rows_changes_nothing(net: pg.Net) -> None:
    before = net.to_blob()
    assert net.train_samples(X, [0, 1, 2], np.zeros(0, int)) == (0, 0)
    assert net.to_blob() == before


# --- samples that are taken ---------------------------------------------------------------------


def test_every_way_to_write_the_same_samples(net: pg.Net) -> None:
    x, _ = samples(CLASSES, 9)
    expected = net.forward(x)
    assert expected.shape == (9, 4)
    assert len(np.unique(expected)) > 1
    wide = np.zeros((9, 12), np.int16)
    wide[:, ::2] = x
    ways = [
        x.astype(np.uint8),
        x.astype(np.uint64),
        x.astype(">i4"),
        x.reshape(9, 2, 3),
        np.asfortranarray(x),
        wide[:, ::2],
        x[::-1][::-1],
        x.tolist(),
    ]
    for same in ways:
        np.testing.assert_array_equal(net.forward(same), expected)
    read_only = x.astype(np.uint8)
    read_only.flags.writeable = False
    np.testing.assert_array_equal(net.forward(read_only), expected)


def test_one_target_may_stand_alone() -> None:
    model = MODELS["regression"]
    x, y = samples(model, 5)
    for engine in ENGINES:
        one, other = network(model, engine), network(model, engine)
        one.train_batch(x, y)
        other.train_batch(x, y[:, 0])
        assert one.to_blob() == other.to_blob()
        assert one.evaluate(x, y) == other.evaluate(x, y[:, 0])


def test_data_are_not_changed(net: pg.Net) -> None:
    x, labels = (values.copy() for values in samples(CLASSES, 8))
    kept = x.copy(), labels.copy()
    net.train_samples(x, labels, np.arange(8))
    net.evaluate(x, labels)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(labels, kept[1])


# --- both engines -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_engines_are_alike(name: str) -> None:
    model = MODELS[name]
    x, y = samples(model, 23, seed=3)
    order = np.random.default_rng(4).integers(0, 23, 50)
    one, other = (network(model, engine) for engine in ENGINES)
    for step in range(4):
        for net in (one, other):
            net.set_rate(step % 3)
            net.train_batch(x[step : step + 1], y[step : step + 1])
        assert one.train_samples(x, y, order) == other.train_samples(x, y, order)
        # order ends in the middle of a batch: rows beyond are left from the batch before
        seen = everything(other)
        assert everything(one) == {name: seen[name] for name in everything(one)}, step
    np.testing.assert_array_equal(one.forward(x), other.forward(x))
    np.testing.assert_array_equal(one.predict(x), other.predict(x))
    assert one.evaluate(x, y) == other.evaluate(x, y)
    assert one.digest() == other.digest()
    assert one.to_blob() == other.to_blob()
    for key, values in one.buffers.items():
        assert (values.dtype, values.shape) == (other.buffers[key].dtype, other.buffers[key].shape)


@pytest.mark.parametrize("start", ["own", "inference only"])
@pytest.mark.parametrize("name", ["dfa", "backprop", "features", "softmax", "bytes"])
def test_engines_have_the_same_buffers(name: str, start: str) -> None:
    options = Library(MODELS[name], start).options
    one, other = (network(MODELS[name], engine, **options) for engine in ENGINES)
    assert list(one.buffers) == list(other.buffers)


@pytest.mark.parametrize("name", ["dfa", "features", "vector", "softmax", "bytes", "raw"])
def test_engines_predict_alike_where_they_only_predict(name: str) -> None:
    """Where the forward pass sees only the high bytes of weights, only these are there."""
    model = MODELS[name]
    weights = some_weights(model)
    x, y = samples(model, 11)
    trained = network(model, "numpy", weights=weights)
    for engine in ENGINES:
        net = network(model, engine, weights=weights, inference_only=True)
        np.testing.assert_array_equal(net.forward(x), trained.forward(x))
        np.testing.assert_array_equal(net.predict(x), trained.predict(x))
        assert net.evaluate(x, y) == trained.evaluate(x, y)
        assert (net.digest() == trained.digest()) == (model.fraction == 1)
        for key, values in net.weights().items():
            np.testing.assert_array_equal(values, weights[key] // model.fraction)


OTHER = {name: -values for name, values in some_weights(CLASSES).items()}
ATTEMPTS: dict[str, Callable[[pg.Net], object]] = {
    "lr_shift": lambda net: setattr(net, "lr_shift", 1),
    "from_blob": lambda net: net.from_blob(net.to_blob()),
    "set_weights": lambda net: net.set_weights(OTHER),
    "train_batch": lambda net: net.train_batch(*samples(CLASSES, 1)),
    "train_samples": lambda net: net.train_samples(*samples(CLASSES, 1), [0]),
    "fit": lambda net: net.fit(*samples(CLASSES, 1)),
}


@pytest.mark.parametrize("name", ATTEMPTS)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_network_that_only_predicts_cannot(engine: str, name: str) -> None:
    """It says so, and goes on predicting as before."""
    weights = some_weights(CLASSES)
    net = network(CLASSES, engine, weights=weights, inference_only=True)
    x, _ = samples(CLASSES, 5)
    output = net.forward(x)
    assert net.lr_shift == 0
    with pytest.raises(PocketgenError):
        ATTEMPTS[name](net)
    np.testing.assert_array_equal(net.forward(x), output)
    np.testing.assert_array_equal(net.weights()["W1"], weights["W1"])


@pytest.mark.parametrize("engine", ["C", "cuda", "", None, 3])
def test_an_unknown_engine(engine: object) -> None:
    with pytest.raises(ModelError, match="'c' or 'numpy'"):
        pg.build(CLASSES, engine=engine)


def test_a_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -m32")
    with pytest.raises(CompilerError, match="no-such-compiler"):
        pg.build(CLASSES)
    network(CLASSES, "numpy")


def test_a_compiler_that_fails() -> None:
    with pytest.raises(CompilerError, match="no-such-option"):
        pg.build(CLASSES, flags=("-fno-such-option",))


# --- views --------------------------------------------------------------------------------------


def test_buffers_are_views(net: pg.Net) -> None:
    x, labels = samples(CLASSES, 4)
    before = net.forward(x)
    net.buffers["W2"][...] = 0
    net.buffers["b2"][...] = [0, 3 * 1280, -5 * 1280, 9 * 1280]  # divided by 256 * 5
    np.testing.assert_array_equal(net.forward(x), [[0, 6, -10, 18]] * 4)
    assert not np.array_equal(net.forward(x), before)
    view, kept = net.buffers["b2"], net.buffers["b2"].copy()
    net.train_batch(x, labels)
    assert not np.array_equal(view, kept)
    view = net.buffers["W1"]
    net.buffers["W1"][2, 3] = 77
    assert view[2, 3] == net.weights()["W1"][2, 3] == 77
    assert net.weights()["W1"].shape == (6, 5)


def test_a_weight_written_through_a_view_changes_the_right_unit(net: pg.Net) -> None:
    """W1 is seen inputs first, though C stores it units first."""
    net.init()
    x = np.zeros((1, 6), int)
    x[0, 4] = 100
    net.buffers["W1"][4, 2] = 300
    net.forward(x)
    h = net.buffers["h1"][0]
    assert h.tolist() == [0, 0, 30000, 0, 0]


def test_every_buffer_is_there(net: pg.Net) -> None:
    shapes = {name: values.shape for name, values in net.buffers.items()}
    expected = {"a0": (4, 6), "W1": (6, 5), "b1": (5,), "W2": (5, 4), "b2": (4,), "R1": (4, 5)}
    expected |= {f"{letter}1": (4, 5) for letter in ("h", "a", "g", "delta")}
    expected |= {f"{letter}2": (4, 4) for letter in ("h", "a", "g", "delta")} | {"e": (4, 4)}
    assert {name: shapes[name] for name in expected} == expected
    with pytest.raises(TypeError):
        net.buffers["W1"] = np.zeros((6, 5))


def test_weights_and_feedback_are_copies(net: pg.Net) -> None:
    before = everything(net)
    for values in [*net.weights().values(), *net.feedback().values()]:
        values[...] = 1
    assert everything(net) == before
    assert list(net.weights()) == ["W1", "b1", "W2", "b2"]
    assert list(net.feedback()) == ["R1"]
    assert net.feedback()["R1"].shape == (4, 5)


# --- weights ------------------------------------------------------------------------------------


def test_set_weights(net: pg.Net) -> None:
    given = some_weights(CLASSES, 32767)
    for way in (
        given,
        {name: values.astype(np.int16) for name, values in given.items()},
        {name: np.asfortranarray(values) for name, values in reversed(given.items())},
        {name: values.tolist() for name, values in given.items()},
        {**given, "b1": given["b1"][np.newaxis]},
    ):
        net.init()
        net.set_weights(way)
        for name, values in net.weights().items():
            np.testing.assert_array_equal(values, given[name])


@pytest.mark.parametrize("engine", ENGINES)
def test_clamped_counts_the_weights_at_their_clamp(engine: str) -> None:
    net = network(CLAMPED, engine)
    assert net.clamped() == {"W1": 0, "b1": 0}
    weights = net.weights()
    weights["W1"][:5, 0] = [10741, -10741, 10740, -10740, 0]
    weights["b1"][:] = [-32767, 32766]
    net.set_weights(weights)
    assert net.clamped() == {"W1": 2, "b1": 1}


W = some_weights(CLASSES)
BAD_WEIGHTS = {
    "none": ({}, "W1", "missing"),
    "one missing": ({k: v for k, v in W.items() if k != "b2"}, "b2 missing"),
    "unknown": ({**W, "W3": W["W2"]}, "'W3'", "W1, b1, W2, b2"),
    "turned": ({**W, "W1": W["W1"].T}, "W1", "(5, 6)", "(6, 5)"),
    "flat": ({**W, "W1": W["W1"].ravel()}, "W1", "(30,)", "(6, 5)"),
    "floats": ({**W, "b1": W["b1"] / 1}, "b1", "float64"),
    "booleans": ({**W, "b1": W["b1"] > 0}, "b1", "bool"),
    "too small": ({**W, "b2": W["b2"] * 0 - 32768}, "b2", -32768, 32767),
    "too large": ({**W, "W2": W["W2"] * 0 + 32768}, "W2", 32768, 32767),
    "far too large": ({**W, "W2": W["W2"] * 0 + 2**40}, "W2", 2**40),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_weights(net: pg.Net, name: str) -> None:
    weights, *words = BAD_WEIGHTS[name]
    refused(net, lambda: net.set_weights(weights), *words)
    refused(net, lambda: network(CLASSES, "numpy", weights=weights), *words)


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_beyond_the_clamp(engine: str) -> None:
    net = network(CLAMPED, engine)
    given = some_weights(CLAMPED)
    given["W1"][3, 1] = -10741
    net.set_weights(given)
    given["W1"][3, 1] = -10742
    refused(net, lambda: net.set_weights(given), "W1", -10742, 10741, "smaller")


@pytest.mark.parametrize("name", ["DFA", "seeded", "Backprop"])
def test_feedback_that_is_refused(name: str) -> None:
    model, given, error = {
        "DFA": (CLASSES, {"R2": np.ones((4, 4), int)}, DataError),
        "seeded": (MODELS["seeded"], {"R1": np.ones((3, 5), int)}, ModelError),
        "Backprop": (MODELS["backprop"], {"R1": np.ones((3, 40), int)}, ModelError),
    }[name]
    with pytest.raises(error, match=r"feedback|R2"):
        network(model, "numpy", feedback=given)


@pytest.mark.parametrize("engine", ENGINES)
def test_given_feedback_is_used(engine: str) -> None:
    R = np.arange(20).reshape(4, 5) - 7
    net = network(CLASSES, engine, feedback={"R1": R})
    np.testing.assert_array_equal(net.feedback()["R1"], R)
    net.train_batch(np.zeros((4, 6), int), np.arange(4))  # weights of 0: e = -15 at the label
    np.testing.assert_array_equal(net.buffers["delta1"], -15 * R)


# --- start, rate --------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_init(engine: str) -> None:
    net = network(MODELS["backprop"], engine)
    first = net.to_blob()
    net.lr_shift = 3
    net.init(7)
    other = net.to_blob()
    assert other != first
    assert net.lr_shift == 0
    net.init(np.uint32(7))
    assert net.to_blob() == other
    net.init()
    assert net.to_blob() == first
    for seed in (-1, 2**32, 1.5, True, "1", np.float64(3)):
        with pytest.raises(ModelError, match="seed") as caught:
            net.init(seed)
        assert repr(seed) in str(caught.value)
    assert net.to_blob() == first


def test_dfa_starts_at_0_whatever_the_seed(net: pg.Net) -> None:
    for seed in (0, 5):
        net.init(seed)
        assert not any(values.any() for values in net.weights().values())


def test_lr_shift(net: pg.Net) -> None:
    for good in (0, 15, np.uint8(3), np.int64(7)):
        net.lr_shift = good
        assert net.lr_shift == good
        assert isinstance(net.lr_shift, int)
    for bad in (-1, 16, 256, 1.0, True, "2", None):
        with pytest.raises(ModelError, match="lr_shift") as caught:
            net.lr_shift = bad
        assert repr(bad) in str(caught.value)
        assert net.lr_shift == 7


def test_lr_shift_halves_the_rate(net: pg.Net) -> None:
    """One sample with x = 200 everywhere: every gradient is delta * 200."""
    for shift in (0, 1, 5, 15):
        net.init()
        net.lr_shift = shift
        net.train_batch([[200] * 6], [2])
        delta = net.buffers["delta1"][0].astype(int)
        moved = [trunc(trunc(200 * d, 2**shift), -3) for d in delta.tolist()]
        expected = [limited(w, -32767, 32767) for w in moved]
        np.testing.assert_array_equal(net.buffers["W1"], [expected] * 6)


@pytest.mark.parametrize("engine", ENGINES)
def test_rate(engine: str) -> None:
    net = network(MODELS["softmax"], engine)
    assert net.rate == 16
    for good in (0, 16, np.uint8(3), np.int64(7)):
        net.rate = good
        assert net.rate == good
        assert isinstance(net.rate, int)
    for bad in (-1, 17, 256, 1.0, True, "2", None):
        with pytest.raises(ModelError, match="rate") as caught:
            net.rate = bad
        assert repr(bad) in str(caught.value)
        assert net.rate == 7
    net.init()
    assert net.rate == 16


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rate_of_0_learns_nothing(engine: str) -> None:
    """But where a network rounds at random it is another step's numbers that it goes on with."""
    net = network(MODELS["softmax"], engine)
    before = net.digest()
    net.rate = 0
    net.train_samples(*samples(MODELS["softmax"], 12), np.arange(12))
    assert net.digest() == before


@pytest.mark.parametrize(("name", "other"), [("dfa", "rate"), ("softmax", "lr_shift")])
def test_a_rate_that_the_rule_does_not_have(name: str, other: str) -> None:
    net = network(MODELS[name], "numpy")
    with pytest.raises(ModelError, match=f"no {other}") as caught:
        getattr(net, other)
    assert net.model.rule.rate_state in str(caught.value)
    with pytest.raises(ModelError, match=f"no {other}"):
        setattr(net, other, 1)


# --- numbers by hand ----------------------------------------------------------------------------


def hand_errors(net: pg.Net, output: list, y: list) -> list:
    """e = output - target, in plain integers."""
    if net.regression:
        return [[a - t for a, t in zip(*row, strict=True)] for row in zip(output, y, strict=True)]
    if isinstance(net.model.rule, pg.CrossEntropyDFA):
        shift = oracle.own_shift(int(net.model.in_shapes[-1][0]), 9)
        return oracle.softmax_error(oracle.ints(output), oracle.ints(y), shift).tolist()
    target = net.model.rule.target
    return [
        [a - (target if c == label else 0) for c, a in enumerate(row)]
        for row, label in zip(output, y, strict=True)
    ]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["dfa", "features", "vector", "regression", "softmax", "bytes"])
def test_evaluate(name: str, engine: str) -> None:
    model = MODELS[name]
    largest = 127 if model.name in ("softmax", "bytes") else 999
    net = network(model, engine, weights=some_weights(model, largest))
    x, y = samples(model, 13)
    before = net.to_blob()
    found = net.evaluate(x, y)
    assert net.to_blob() == before
    output = net.forward(x).tolist()
    errors = [e for row in hand_errors(net, output, y.tolist()) for e in row]
    loss = sum(e * e // 2 for e in errors) / 13
    if net.regression:
        mse = sum(e * e for e in errors) / len(errors)
        mae = sum(map(abs, errors)) / len(errors)
        expected = {"samples": 13, "mse": mse, "mae": mae, "loss": loss}
    else:
        hits = sum(row.index(max(row)) == label for row, label in zip(output, y, strict=True))
        expected = {"samples": 13, "hits": hits, "accuracy": hits / 13, "loss": loss}
    assert found == pytest.approx(expected, rel=1e-12)
    assert found["samples"] == 13


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["dfa", "vector", "one", "raw"])
def test_train_samples_is_train_batch_in_a_loop(name: str, engine: str) -> None:
    """Loss and hits are of the outputs before each update; the last batch is smaller."""
    model = MODELS[name]
    x, y = samples(model, 11)
    order = np.array([3, 0, 10, 3, 3, 7, 1, 9, 2, 0, 5, 4, 8, 6])
    one, other = network(model, engine), network(model, engine)
    loss = hits = 0
    for start in range(0, len(order), one.batch):
        rows = order[start : start + one.batch]
        output = one.forward(x[rows]).tolist()
        errors = hand_errors(one, output, y[rows].tolist())
        loss += sum(e * e // 2 for row in errors for e in row)
        if not one.regression:
            hits += sum(
                row.index(max(row)) == label for row, label in zip(output, y[rows], strict=True)
            )
        one.train_batch(x[rows], y[rows])
    assert other.train_samples(x, y, order) == (min(loss, 2**63 - 1), hits)
    assert one.to_blob() == other.to_blob()
    found = other.train_samples(x, y, order.astype(np.uint8))
    assert all(isinstance(number, int) for number in found)


def test_predict_takes_the_first_of_equals(net: pg.Net) -> None:
    net.init()
    x, _ = samples(CLASSES, 3)
    assert net.predict(x).tolist() == [0, 0, 0]
    net.buffers["b2"][...] = [-5, 9999, 5, 9999]
    assert net.predict(x).tolist() == [1, 1, 1]
    assert net.predict(x).dtype == np.uint16


def test_predict_of_a_regression_is_its_output(regression: pg.Net) -> None:
    x, _ = samples(VALUES, 3)
    np.testing.assert_array_equal(regression.predict(x), regression.forward(x))
    assert regression.predict(x).shape == (3, 2)


def test_digest(net: pg.Net) -> None:
    weights = net.weights()
    order = ("W1", "b1", "W2", "b2")
    stored = b"".join(weights[name].T.astype("<i2").tobytes() for name in order)
    assert net.digest() == zlib.crc32(stored)


def test_what_a_network_says_of_itself(net: pg.Net, regression: pg.Net) -> None:
    assert net.model is CLASSES
    assert net.engine in ENGINES
    assert net.batch == 4
    assert (net.regression, regression.regression) == (False, True)


# --- the C as a device calls it -----------------------------------------------------------------

DEVICE = """
void classes_init(void *net, uint32_t seed);
void classes_forward(void *net, const uint8_t *x, int8_t *y);
uint16_t classes_predict(void *net, const uint8_t *x);
int classes_train_step(void *net, const uint8_t *x, uint16_t label);
int classes_train_batch(void *net, const uint8_t *x, const uint16_t *label, uint16_t n);
"""
LABEL, COUNT, RANGE = -7, -8, -6


class Device:
    """The functions that the header declares, on memory whose every byte can be looked at."""

    def __init__(self, model: pg.Model, declarations: str, folder: Path) -> None:
        library = Library(model)
        path = folder / f"{model.name}.so"
        compile_library([*compiler(), *ALWAYS, "-O1"], library.files(), path)
        self.ffi = FFI()
        self.ffi.cdef(declarations)
        self.c = self.ffi.dlopen(str(path))
        self.memory = self.ffi.new("int64_t[]", library.plan().ram_bytes // 8 + 1)
        self.data = samples(model, 8)

    @property
    def bytes(self) -> bytes:
        return bytes(self.ffi.buffer(self.memory))

    def array(self, kind: str, values: Any) -> Any:
        return self.ffi.new(f"{kind}[]", np.asarray(values).ravel().tolist())


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    made = Device(CLASSES, DEVICE, tmp_path_factory.mktemp("device"))
    made.c.classes_init(made.memory, 1)
    x, labels = made.data
    x, labels = made.array("uint8_t", x[:4]), made.array("uint16_t", labels[:4])
    assert made.c.classes_train_batch(made.memory, x, labels, 4) == 0
    return made


@pytest.mark.parametrize("n", [0, 5, 6, 255, 256, 65535])
def test_c_refuses_a_count(device: Device, n: int) -> None:
    x, labels = device.array("uint8_t", device.data[0]), device.array("uint16_t", device.data[1])
    before = device.bytes
    assert device.c.classes_train_batch(device.memory, x, labels, n) == COUNT
    assert device.bytes == before


@pytest.mark.parametrize("label", [4, 5, 255, 256, 65535])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_c_refuses_a_label_before_anything_is_changed(
    device: Device, label: int, place: int
) -> None:
    labels = [0, 1, 2, 3]
    labels[place] = label
    x = device.array("uint8_t", device.data[0])
    before = device.bytes
    wanted = device.array("uint16_t", labels)
    assert device.c.classes_train_batch(device.memory, x, wanted, 4) == LABEL
    assert device.c.classes_train_step(device.memory, x, label) == LABEL
    assert device.bytes == before
    if place == 3:  # the bad label is not among the first three
        assert device.c.classes_train_batch(device.memory, x, wanted, 3) == 0
        assert device.bytes != before


def test_c_refuses_a_target(tmp_path: Path) -> None:
    device = Device(
        VALUES,
        """
        void values_init(void *net, uint32_t seed);
        int values_train_step(void *net, const int8_t *x, const int8_t *y);
        int values_train_batch(void *net, const int8_t *x, const int8_t *y, uint16_t n);
        """,
        tmp_path,
    )
    assert Library(VALUES).program().buffers["y"].dtype == "int8"
    device.c.values_init(device.memory, 1)
    x, good = device.array("int8_t", device.data[0]), [-50, 100, 0, 1, 2, 3, -50, 100]
    before = device.bytes
    for place in range(8):
        for value in (-51, 101, -128, 127):
            targets = [*good]
            targets[place] = value
            y = device.array("int8_t", targets)
            assert device.c.values_train_batch(device.memory, x, y, 4) == RANGE
            if place < 2:
                assert device.c.values_train_step(device.memory, x, y) == RANGE
    for n in (0, 5):
        assert (
            device.c.values_train_batch(device.memory, x, device.array("int8_t", good), n) == COUNT
        )
    assert device.bytes == before
    assert device.c.values_train_batch(device.memory, x, device.array("int8_t", good), 4) == 0
    assert device.bytes != before


def test_c_takes_a_raw_value_beyond_the_declared_range_as_the_nearest_in_it(device: Device) -> None:
    """Python refuses 201..255 for a range of 0..200; a sensor does not ask."""
    outputs = []
    for value in (200, 201, 255):
        y = device.ffi.new("int8_t[4]")
        device.c.classes_forward(device.memory, device.array("uint8_t", [value] * 6), y)
        outputs.append(list(y))
    assert outputs[0] == outputs[1] == outputs[2]


def test_one_step_is_a_batch_of_one(device: Device) -> None:
    x, labels = device.data
    ends = []
    for step in (True, False):
        device.c.classes_init(device.memory, 1)
        for k in range(8):
            row, wanted = device.array("uint8_t", x[k]), device.array("uint16_t", [labels[k]])
            if step:
                assert device.c.classes_train_step(device.memory, row, int(labels[k])) == 0
            else:
                assert device.c.classes_train_batch(device.memory, row, wanted, 1) == 0
        ends.append(device.bytes)
    assert ends[0] == ends[1]


def test_c_predicts_the_first_maximum(device: Device) -> None:
    x, _ = device.data
    for row in x:
        y = device.ffi.new("int8_t[4]")
        sample = device.array("uint8_t", row)
        device.c.classes_forward(device.memory, sample, y)
        found = device.c.classes_predict(device.memory, sample)
        assert found == list(y).index(max(y))


# --- the self-test ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_self_test_passes_and_leaves_a_started_network(name: str) -> None:
    library = LIBRARIES[name]
    engine = Engine(library.program(), library.plan(), ("-O1",))
    engine.init(library.model.seed)
    started = engine.digest()
    assert engine.selftest() == 0
    assert engine.digest() == started


FAULTY = {
    "dfa": pg.Model(
        "faulty",
        pg.Input((6,), "int8", scale=pg.Scale(1, 3, 2)),
        stack((5, TANH), (4, "pocket_sigmoid"), (3, TANH)),
        pg.DFA(lr_inv=2, batch=4),
    ),
    "backprop": pg.Model(
        "faulty",
        pg.Input((6,), "uint8"),
        stack((5, "pocket_relu8bit"), (4, "pocket_leakyrelu"), (3, "identity")),
        pg.Backprop(lr_inv=2, batch=4),
    ),
}
# In which model, a piece of its C, and what to put in its place.
FAULTS = {
    "the scale's offset": ("dfa", r"raw\[i\] - ", "raw[i] + "),
    "a product's sign": ("dfa", r"sum \+= ", "sum -= "),
    "a slice of tanh": ("dfa", r"2 \* v", "3 * v"),
    "a slice of sigmoid": ("dfa", r"v \+ 64", "v + 63"),
    "the error's sign": ("dfa", r"a\[c\] - y", "a[c] + y"),
    "the target": ("dfa", r"target = 15;", "target = 14;"),
    "a projection": ("dfa", r"s\[o\] \+ error", "s[o] - error"),
    "a feedback matrix": ("dfa", r"(_R1\[\d+\] \w+ = \{\s*-?)", r"\g<1>1"),
    "a product of the gradient": ("dfa", r"error \* \(int32_t\)row", "error + (int32_t)row"),
    "a sum of the gradient": ("dfa", r"gradient\[i\] \+= ", "gradient[i] -= "),
    "a bias's gradient": ("dfa", r"gradient \+= delta", "gradient -= delta"),
    "the way of the update": ("dfa", r"moved = w \+", "moved = w -"),
    "the learning rate": ("dfa", r", -2\)", ", -3)"),
    "a halved rate": ("dfa", r"magnitude >> shift;", "magnitude;"),
    "how a halved rate rounds": ("dfa", r"magnitude >> shift;", "(magnitude + shift) >> shift;"),
    "a weight's upper clamp": ("dfa", r"(moved, -\d+, )32767", r"\g<1>32766"),
    "a weight's lower clamp": ("dfa", r"(moved, )-32767", r"\g<1>-32766"),
    "the prediction": ("backprop", r"best = c;", "best = 0;"),
    "the start": ("dfa", r"out\[i\] = 0", "out[i] = 1"),
    "the digest": ("dfa", r"0xedb88320UL", "0xedb88321UL"),
    "ReLU's limit": ("backprop", r"v > 127 \? 127", "v > 127 ? 126"),
    "leaky ReLU's slope": ("backprop", r"\(v, 5\)", "(v, 4)"),
    "the error handed on": ("backprop", r"s\[i\] \+ error \* W", "s[i] - error * W"),
    "a slope": ("backprop", r"\(s\[o\], g\[o\]\)", "(s[o], 1)"),
    "the random start": ("backprop", r"0x7feb352dUL", "0x7feb352fUL"),
}


@pytest.mark.parametrize("name", ["", *FAULTS])
def test_the_self_test_finds_a_fault(name: str, tmp_path: Path) -> None:
    """In the C of a network that learns fast enough for every value to matter; none without one."""
    model, pattern, fault = FAULTS[name] if name else ("dfa", "", "")
    files = Library(FAULTY[model]).files()
    changed = 0
    for file, text in files.items():
        if name and "selftest" not in file and file.endswith(".c"):
            files[file], count = re.subn(pattern, fault, text)
            changed += count
    assert bool(changed) == bool(name), "the C is written in another way now: adapt the pattern"
    (tmp_path / "host").mkdir()
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    sources = [file for file in files if file.endswith(".c")]
    command = [*compiler(), "-std=c99", "-O0", "-I.", "-o", "selftest", *sources]
    subprocess.run(command, cwd=tmp_path, check=True)
    status = subprocess.run([str(tmp_path / "selftest")], check=False).returncode
    assert (0 < status < 100) if name else status == 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_self_test_of_an_example_trains_at_half_the_rate(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which matters: at the full rate the weights would be others."""
    program = Library(EXAMPLES[name].model).program()
    right = vectors(program).digests
    monkeypatch.setattr("pocketgen.selftest.set_rate", lambda reference, slowed: None)
    wrong = vectors(program).digests
    assert wrong[:STEPS] == right[:STEPS]
    assert wrong[STEPS] != right[STEPS]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "sensor"])
def test_the_self_test_of_an_example_reaches_a_clamp(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a clamp, weights would leave their range. Of sensor, extreme weights silence all."""
    program = Library(EXAMPLES[name].model).program()
    for step in ("sgd_step", "master_step", "master_step_noisy"):
        unlimited = f"pocketgen.kernels.{step}.clamp"
        monkeypatch.setattr(unlimited, lambda x, low, high: np.asarray(x))
    with pytest.raises(AssertionError, match=r"proven|does not fit"):
        vectors(program)


def test_the_self_test_is_of_this_very_model() -> None:
    """Vectors of one model, run against another seed's or rate's C, do not fit."""
    model = FAULTY["backprop"]
    texts = [
        Library(m).files()["faulty_selftest.c"]
        for m in (
            model,
            pg.Model("faulty", model.input, model.layers, model.rule, seed=2),
            pg.Model("faulty", model.input, model.layers, replace(model.rule, lr_inv=3)),
        )
    ]
    tables = {tuple(re.findall(r"0x[0-9a-f]{8}UL", text)) for text in texts}
    assert len(tables) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_that_cannot_be_written_and_bytes_of_another_kind(
    engine: str, tmp_path: Path
) -> None:
    net = network(CLASSES, engine)
    with pytest.raises(OutputError, match="cannot write"):
        net.save(tmp_path / "missing" / "weights.pkt")
    digest = net.digest()
    net.from_blob(bytearray(net.to_blob()))
    assert net.digest() == digest
