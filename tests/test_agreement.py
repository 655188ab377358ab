"""Random models: oracle = numpy engine = compiled C, in every buffer after every step.

POCKETGEN_EXAMPLES=n tries n models with the C engine, and more without it, instead of the few of
a daily run. A failing model is shrunk and printed as a `PocketCase` or `SoftmaxCase`, one for each
family of rules, which then goes into KEPT for good.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import oracle
import pocketgen as pg
from pocketgen.errors import UnsafeModelError

EXAMPLES = int(os.environ.get("POCKETGEN_EXAMPLES", "60"))
ENGINES = ("numpy", "c")
SCALED_MAX = {"int8": (-127, 127), "uint8": (0, 255), "int16": (-32767, 32767)}
INT64_MAX = 2**63 - 1


@pytest.fixture(scope="module", autouse=True)
def _throw_away_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Random models are compiled once: they need not stay in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network's widths, what it is fed, and its training, in plain numbers.

    parameters: where weights start: "initial" (as the rule says), "clamp" (every one at plus or
    minus its limit), "small" (-3..3), "wide" (uniform up to the limits).
    feedback: "stored", "seeded", "given" (an array, in the rule's range) or "extreme" (an array of
    the largest int16). steps: samples in the batch, kind of inputs, the state that sets the rate.
    """

    dims: tuple[int, ...]
    batch: int = 1
    dtype: str = "uint8"
    range: tuple[int, int] | None = None
    scale: pg.Scale | None = None
    feedback: str = "stored"
    parameters: str = "initial"
    seed: int = 1
    data_seed: int = 0
    steps: tuple[tuple[int, str, int], ...] = field(default=((1, "random", 0),))

    @property
    def whole_range(self) -> tuple[int, int]:
        kind = np.iinfo(self.dtype)
        return int(kind.min), int(kind.max)

    @property
    def raw_range(self) -> tuple[int, int]:
        return self.range or self.whole_range

    @property
    def largest_input(self) -> int:
        """The largest magnitude that layer 1 is fed.

        A common affine map is monotone, so its ends decide; maps per feature count as able to reach
        the whole range of their type.
        """
        if self.scale is None:
            return max(map(abs, self.raw_range))
        if self.scale.per_feature:
            return SCALED_MAX[self.scale.dtype][1]
        return int(np.abs(self.network_input(np.array(self.raw_range))).max())

    def network_input(self, raw: np.ndarray) -> np.ndarray:
        if self.scale is None:
            return oracle.ints(raw)
        s = self.scale
        return oracle.scaled(raw, s.offset, s.multiplier, s.shift, *SCALED_MAX[s.dtype])

    @property
    def taken(self) -> pg.Input:
        return pg.Input((self.dims[0],), self.dtype, self.range, self.scale)


@dataclass(frozen=True, kw_only=True)
class PocketCase(Case):
    """A model by one of PocketNN's rules; the state that sets the rate is lr_shift."""

    activations: tuple[str, ...]
    rule: str = "DFA"
    lr_inv: int = 1000
    target: int | None = 15
    target_range: tuple[int, int] = (-127, 127)

    @property
    def regression(self) -> bool:
        return self.target is None

    @property
    def largest_target(self) -> int:
        return max(map(abs, self.target_range)) if self.target is None else abs(self.target)

    def limits(self) -> list[int]:
        """The weight clamps, or UnsafeError."""
        dims, activations = list(self.dims), list(self.activations)
        limits = oracle.weight_limits(dims, activations, self.largest_input, self.largest_target)
        oracle.check_gradients(
            dims,
            activations,
            limits,
            self.largest_input,
            self.target_range
            if self.target is None
            else (min(0, self.target), max(0, self.target)),
            self.batch,
            self.largest_feedback,
        )
        return limits

    @property
    def largest_feedback(self) -> list[int]:
        """Of each hidden layer; [] for backprop. A stored matrix counts as it is, not as drawn."""
        if self.rule != "DFA":
            return []
        if self.feedback == "stored":
            drawn = (oracle.feedback(self.seed, *fan, self.dims[-1]) for fan in fans(self)[:-1])
            return [int(np.abs(matrix).max()) for matrix in drawn]
        if self.feedback == "extreme":
            return [32767 for _ in fans(self)[:-1]]
        return [oracle.start_range(n_in, n_out) for _, n_in, n_out in fans(self)[:-1]]

    def wanted(self, labels: np.ndarray) -> np.ndarray:
        """Target vectors of labels; those of a regression are target vectors already."""
        if self.target is None:
            return oracle.ints(labels)
        return oracle.class_targets(labels, self.dims[-1], self.target)

    def model(self) -> pg.Model:
        common = {"lr_inv": self.lr_inv, "batch": self.batch}
        if self.target is None:
            common |= {"target": "vector", "target_range": self.target_range}
        else:
            common |= {"target": self.target}
        if self.rule == "DFA":
            feedback = "seeded" if self.feedback == "seeded" else "stored"
            rule = pg.DFA(**common, feedback=feedback)
        else:
            rule = pg.Backprop(**common)
        layers = [
            pg.Dense(units, activation)
            for units, activation in zip(self.dims[1:], self.activations, strict=True)
        ]
        return pg.Model("random_model", self.taken, layers, rule, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class SoftmaxCase(Case):
    """A model by softmax cross-entropy; the state that sets the rate is the rate.

    feedback: also "none": backpropagation. first_step: updates that came before. power_cut: steps
    after which all but the blob is lost.
    """

    dropout: int | None = None
    rate: int = 16
    rate_shift: int = 13
    rounding: str = "nearest"
    weights: str = "int16"
    activation_shift: int | None = None
    output_shift: int | None = None
    feedback_limit: int = 63
    first_step: int = 0
    power_cut: int = 0

    regression = False

    def wanted(self, labels: np.ndarray) -> np.ndarray:
        return labels

    @property
    def rule(self) -> pg.CrossEntropyDFA | pg.CrossEntropyBackprop:
        common = {
            "batch": self.batch,
            "dropout": self.dropout,
            "rate": self.rate,
            "rate_shift": self.rate_shift,
            "rounding": self.rounding,
            "weights": self.weights,
            "activation_shift": self.activation_shift,
            "output_shift": self.output_shift,
        }
        if self.feedback == "none":
            return pg.CrossEntropyBackprop(**common)
        feedback = "seeded" if self.feedback == "seeded" else "stored"
        return pg.CrossEntropyDFA(**common, feedback=feedback, feedback_limit=self.feedback_limit)

    def model(self) -> pg.Model:
        hidden = [pg.Dense(units, "pocket_tanh") for units in self.dims[1:-1]]
        layers = [*hidden, pg.Dense(self.dims[-1], "identity")]
        return pg.Model("random_model", self.taken, layers, self.rule, seed=self.seed)


# --- numbers to train with ----------------------------------------------------------------------


def numbers(
    rng: np.random.Generator, kind: str, shape: tuple[int, ...], low: int, high: int
) -> np.ndarray:
    """int64 in [low, high]: "random", "extreme" (only low and high), "ramp" of period 251.

    "sparse": mostly 0, or what is nearest to it.
    """
    if kind == "sparse":
        values = rng.integers(low, high, shape, endpoint=True)
        return np.where(rng.random(shape) < 0.8, min(max(0, low), high), values)
    if kind == "random":
        return rng.integers(low, high, shape, endpoint=True)
    if kind == "extreme":
        return rng.choice(np.array([low, high]), shape)
    assert kind == "ramp"
    count = int(np.prod(shape))
    ramp = np.arange(count) % 251  # a prime period: swapped blocks do not look alike
    return (low + ramp % (high - low + 1)).reshape(shape)


def fans(case: Case) -> list[tuple[int, int, int]]:
    """Layer number from 1, n_in, n_out."""
    pairs = zip(case.dims[:-1], case.dims[1:], strict=True)
    return [(k, n_in, n_out) for k, (n_in, n_out) in enumerate(pairs, 1)]


def starting_point(
    case: PocketCase, limits: list[int], rng: np.random.Generator
) -> tuple[oracle.Network, dict | None, dict | None]:
    """The oracle's network, and what pocketgen must be given to start at the same point."""
    W, b = [], []
    for k, n_in, n_out in fans(case):
        limit = limits[k - 1]
        if case.parameters == "clamp":
            W.append(numbers(rng, "extreme", (n_in, n_out), -limit, limit))
            b.append(numbers(rng, "extreme", (n_out,), -32767, 32767))
        elif case.parameters == "wide":
            W.append(numbers(rng, "random", (n_in, n_out), -limit, limit))
            b.append(numbers(rng, "random", (n_out,), -32767, 32767))
        elif case.parameters == "small":
            small = min(3, limit)
            W.append(numbers(rng, "random", (n_in, n_out), -small, small))
            b.append(numbers(rng, "random", (n_out,), -3, 3))
        elif case.rule == "DFA":
            W.append(np.zeros((n_in, n_out), np.int64))
            b.append(np.zeros(n_out, np.int64))
        else:
            W.append(oracle.initial_weights(case.seed, k, n_in, n_out, limit))
            b.append(oracle.initial_biases(case.seed, k, n_in, n_out))
    R = []
    if case.rule == "DFA":
        for k, n_in, n_out in fans(case)[:-1]:
            r, shape = oracle.start_range(n_in, n_out), (case.dims[-1], n_out)
            if case.feedback == "given":
                R.append(numbers(rng, "random", shape, -r, r))
                R[-1][0, 0] = r  # so that the range of given matrices is known
            elif case.feedback == "extreme":
                R.append(numbers(rng, "extreme", shape, -32767, 32767))
            else:
                R.append(oracle.feedback(case.seed, k, n_in, n_out, case.dims[-1]))
    net = oracle.Network(list(case.activations), W, b, case.lr_inv, R, limits=limits)
    return net, *given_arrays(case, net)


def softmax_starting_point(
    case: SoftmaxCase, rng: np.random.Generator
) -> tuple[oracle.CrossEntropyNetwork, dict | None, dict | None]:
    """The oracle's network, and what pocketgen must be given to start at the same point."""
    W, b, R = [], [], []
    only_bytes = case.weights == "int8"
    for k, n_in, n_out in fans(case):
        kind = "extreme" if case.parameters == "clamp" else "random"
        limit = 3 if case.parameters == "small" else 127 if only_bytes else 32512
        if case.parameters == "initial":
            w, bias = oracle.own_start(case.seed, k, n_in, n_out, only_bytes)
        else:
            w = numbers(rng, kind, (n_in, n_out), -limit, limit)
            bias = numbers(rng, kind, (n_out,), -limit, limit)
        W.append(w)
        b.append(bias)
    for k, _, n_out in fans(case)[:-1] if case.feedback != "none" else ():
        n_classes = case.dims[-1]
        if case.feedback in ("given", "extreme"):
            kind, limit = ("random", 127) if case.feedback == "given" else ("extreme", 32767)
            R.append(numbers(rng, kind, (n_classes, n_out), -limit, limit))
        else:
            R.append(oracle.own_feedback(case.seed, k, n_out, n_classes, case.feedback_limit))
    net = oracle.CrossEntropyNetwork(
        W,
        b,
        R,
        seed=case.seed,
        dropout=case.dropout,
        rate=case.rate,
        rate_shift=case.rate_shift,
        stochastic=case.rounding == "stochastic",
        only_bytes=only_bytes,
        activation_shift=case.activation_shift,
        output_shift=case.output_shift,
        step=case.first_step,
    )
    return net, *given_arrays(case, net)


Judge = oracle.Network | oracle.CrossEntropyNetwork


def given_arrays(case: Case, judge: Judge) -> tuple[dict | None, dict | None]:
    """Weights and feedback that pocketgen would not start from by itself."""
    weights = feedback = None
    if case.parameters != "initial":
        weights = {f"W{k}": w for k, w in enumerate(judge.W, 1)}
        weights |= {f"b{k}": bias for k, bias in enumerate(judge.b, 1)}
    if case.feedback in ("given", "extreme") and judge.R:
        feedback = {f"R{k}": matrix for k, matrix in enumerate(judge.R, 1)}
    return weights, feedback


# --- the comparison -----------------------------------------------------------------------------


def same(seen: np.ndarray, expected: np.ndarray, where: str) -> None:
    np.testing.assert_array_equal(oracle.ints(seen), expected, where)


def build(case: Case, engine: str, **options: object) -> pg.Net:
    return pg.build(
        case.model(), engine=engine, flags=("-O1",) if engine == "c" else None, **options
    )


def compare_weights(net: pg.Net, judge: Judge, where: str) -> None:
    for k in range(len(judge.W)):
        same(net.buffers[f"W{k + 1}"], judge.W[k], f"{net.engine}, {where}: W{k + 1}")
        same(net.buffers[f"b{k + 1}"], judge.b[k], f"{net.engine}, {where}: b{k + 1}")


def compare(
    case: PocketCase, net: pg.Net, judge: oracle.Network, trace: oracle.Trace, step: str
) -> None:
    """Every buffer of a net after a training step; activity of the samples in this batch."""
    n = len(trace.e)
    where = f"{net.engine}, {step}"
    same(net.buffers["e"][:n], trace.e, f"{where}: e")
    for k in range(len(judge.W)):
        layer = f"{where}, layer {k + 1}"
        for name, expected in (
            ("h", trace.h),
            ("a", trace.a),
            ("g", trace.g),
            ("delta", trace.delta),
        ):
            same(net.buffers[f"{name}{k + 1}"][:n], expected[k], f"{layer}: {name}")
    compare_weights(net, judge, step)


def compare_softmax(
    case: SoftmaxCase,
    net: pg.Net,
    judge: oracle.CrossEntropyNetwork,
    trace: oracle.Trace,
    step: str,
) -> None:
    """Every buffer that a net has after a training step, and what the next one depends on."""
    rows = {"e": trace.e}
    if judge.dropout or case.scale or case.range not in (None, case.whole_range):
        rows["a0"] = trace.x
    for letter, values in (("a", trace.a), ("f", trace.g), ("delta", trace.delta[:-1])):
        rows |= {f"{letter}{k}": value for k, value in enumerate(values, 1)}
    for name, expected in rows.items():
        same(net.buffers[name][: len(trace.e)], expected, f"{net.engine}, {step}: {name}")
    compare_weights(net, judge, step)
    whole = {f"{letter}{k}" for letter in "Wb" for k, _, _ in fans(case)}
    if case.feedback not in ("seeded", "none"):
        whole |= {f"R{k}" for k in range(1, len(judge.W))}
    assert set(net.buffers) == set(rows) | whole
    assert states(net.to_blob()) == (judge.rate, judge.step), f"{net.engine}, {step}"


def states(blob: bytes) -> tuple[int, int]:
    """The rate and the step at a blob's end, before the checksum."""
    return blob[-9], int.from_bytes(blob[-8:-4], "little")


def at_step(blob: bytes, step: int) -> bytes:
    """A blob of a network that has been updated so often."""
    changed = blob[:-8] + step.to_bytes(4, "little")
    return changed + zlib.crc32(changed).to_bytes(4, "little")


def samples(
    case: Case, rng: np.random.Generator, n: int, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Raw inputs (n, n_in) and labels (n,), or targets (n, n_out) of a regression."""
    raw = numbers(rng, kind, (n, case.dims[0]), *case.raw_range).astype(case.dtype)
    if isinstance(case, PocketCase) and case.regression:
        return raw, numbers(rng, kind, (n, case.dims[-1]), *case.target_range)
    return raw, rng.integers(0, case.dims[-1], n)


def agree(case: PocketCase, engines: tuple[str, ...]) -> None:
    """Train by the oracle and by engines of pocketgen alike; or none of them may."""
    try:
        limits = case.limits()
    except oracle.UnsafeError:
        assert refused(case)
        return

    rng = np.random.default_rng(case.data_seed)
    judge, weights, feedback = starting_point(case, limits, rng)
    nets = [build(case, engine, weights=weights, feedback=feedback) for engine in engines]
    compare_start(case, nets, judge)

    for s, (n, kind, lr_shift) in enumerate(case.steps):
        raw, labels = samples(case, rng, n, kind)
        judge.lr_shift = lr_shift
        trace = judge.train(case.network_input(raw), case.wanted(labels))
        for net in nets:
            net.lr_shift = lr_shift
            net.train_batch(raw, labels)
            if case.scale is not None:
                same(net.buffers["a0"][:n], case.network_input(raw), f"{net.engine}, step {s}: a0")
            compare(case, net, judge, trace, f"step {s}")

    many_batches(case, nets, judge, rng)
    inference(case, nets, judge, rng)


def agree_softmax(case: SoftmaxCase, engines: tuple[str, ...]) -> None:
    """Train by the oracle and by engines of pocketgen alike."""
    rng = np.random.default_rng(case.data_seed)
    judge, weights, feedback = softmax_starting_point(case, rng)
    nets = [build(case, engine, weights=weights, feedback=feedback) for engine in engines]
    compare_start(case, nets, judge)
    for net in nets:
        assert states(net.to_blob()) == (case.rate, 0), net.engine
        net.from_blob(at_step(net.to_blob(), case.first_step))

    for s, (n, kind, rate) in enumerate(case.steps):
        if s == case.power_cut:
            nets = after_a_power_cut(case, nets, feedback)
            compare_start(case, nets, judge)
        raw, labels = samples(case, rng, n, kind)
        judge.rate = rate
        trace = judge.train(case.network_input(raw), labels)
        for net in nets:
            net.rate = rate
            net.train_batch(raw, labels)
            compare_softmax(case, net, judge, trace, f"step {s}")

    many_batches(case, nets, judge, rng)
    inference(case, nets, judge, rng)
    only_inference(case, nets, judge, rng)


def compare_start(case: Case, nets: list[pg.Net], judge: Judge) -> None:
    for net in nets:
        compare_weights(net, judge, "start")
        if case.feedback != "seeded":
            for k, matrix in enumerate(judge.R):
                same(net.buffers[f"R{k + 1}"], matrix, f"{net.engine}: R{k + 1}")


def after_a_power_cut(case: Case, nets: list[pg.Net], feedback: dict | None) -> list[pg.Net]:
    """Other nets that know of these only what they stored, which was the same bytes."""
    blobs = {net.to_blob() for net in nets}
    assert len(blobs) == 1
    resumed = [build(case, net.engine, feedback=feedback) for net in nets]
    for net in resumed:
        net.from_blob(*blobs)
        assert {net.to_blob()} == blobs
    return resumed


def only_inference(
    case: SoftmaxCase,
    nets: list[pg.Net],
    judge: oracle.CrossEntropyNetwork,
    rng: np.random.Generator,
) -> None:
    """Networks with nothing but the forward weights, one byte each, give the same outputs."""
    raw, _ = samples(case, rng, 3, "random")
    output = judge.forward(case.network_input(raw)).a[-1]
    for net in nets:
        frozen = build(case, net.engine, weights=net.weights(), inference_only=True)
        same(frozen.forward(raw), output, f"{net.engine}, inference only: forward")
        for name, values in frozen.weights().items():
            trained = (judge.W if name[0] == "W" else judge.b)[int(name[1:]) - 1]
            expected = trained if judge.only_bytes else trained >> 8
            same(values, expected, f"{net.engine}, inference only: {name}")
            assert values.dtype == np.int8


def many_batches(case: Case, nets: list[pg.Net], judge: Judge, rng: np.random.Generator) -> None:
    """train_samples: rows in a given order, the last batch smaller, a row twice."""
    n = 2 * case.batch + 1
    raw, labels = samples(case, rng, n, "random")
    order = np.append(rng.permutation(n), rng.integers(0, n))
    loss = hits = 0
    for start in range(0, len(order), case.batch):
        rows = order[start : start + case.batch]
        trace = judge.train(case.network_input(raw[rows]), case.wanted(labels[rows]))
        loss += oracle.loss_of(trace.e)
        if not case.regression:
            hits += int((trace.a[-1].argmax(axis=1) == labels[rows]).sum())
    for net in nets:
        seen_loss, seen_hits = net.train_samples(raw, labels, order)
        assert seen_hits == hits, net.engine
        assert loss > INT64_MAX or seen_loss == loss, net.engine
        compare_weights(net, judge, "samples")


def inference(case: Case, nets: list[pg.Net], judge: Judge, rng: np.random.Generator) -> None:
    """forward and predict of more samples than a batch has; weights stay."""
    raw, _ = samples(case, rng, case.batch + 2, "random")
    output = judge.forward(case.network_input(raw)).a[-1]
    for net in nets:
        same(net.forward(raw), output, f"{net.engine}: forward")
        expected = output if case.regression else output.argmax(axis=1)
        same(net.predict(raw), expected, f"{net.engine}: predict")
        for name, values in net.weights().items():
            judged = judge.W if name[0] == "W" else judge.b
            same(values, judged[int(name[1:]) - 1], f"{net.engine}, after inference: {name}")


# --- which models -------------------------------------------------------------------------------

KINDS = ["random", "extreme", "ramp", "sparse"]
widths = st.one_of(st.integers(1, 40), st.sampled_from([1, 2, 3, 8, 16, 32, 40]))
lr_invs = st.one_of(
    st.sampled_from([1, 2, 1000, 2**31 - 1]), st.integers(1, 100), st.integers(1, 100_000)
)


@st.composite
def scales(draw: st.DrawFn, features: int, low: int, high: int) -> pg.Scale:
    offsets = st.integers(low, high)
    multipliers = st.integers(-(2**24), 2**24) | st.integers(-9, 9)
    if draw(st.booleans()):
        offsets = st.lists(offsets, min_size=features, max_size=features).map(tuple)
        multipliers = st.lists(multipliers, min_size=features, max_size=features).map(tuple)
    return pg.Scale(
        offset=draw(offsets),
        multiplier=draw(multipliers),
        shift=draw(st.integers(0, 30)),
        dtype=draw(st.sampled_from(sorted(SCALED_MAX))),
    )


@st.composite
def ranges(draw: st.DrawFn, low: int, high: int) -> tuple[int, int]:
    first = draw(st.integers(low, high - 1))
    return first, draw(st.integers(first + 1, high))


@st.composite
def pocket_cases(draw: st.DrawFn, largest_width: int = 40) -> PocketCase:
    width = widths if largest_width <= 40 else st.integers(1, largest_width)
    dims = draw(st.lists(width, min_size=2, max_size=5))
    activations = [draw(st.sampled_from(oracle.ACTIVATIONS)) for _ in dims[1:]]
    dtype = draw(st.sampled_from(["uint8", "int8", "int16", "uint16"]))
    whole = (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    taken = draw(st.none() | ranges(*whole))
    batch = draw(st.integers(1, 9))
    steps = st.tuples(
        st.integers(1, batch), st.sampled_from(KINDS), st.integers(0, 15) | st.just(0)
    )
    case = PocketCase(
        dims=tuple(dims),
        activations=tuple(activations),
        rule=draw(st.sampled_from(["DFA", "Backprop"])),
        batch=batch,
        lr_inv=draw(lr_invs),
        dtype=dtype,
        range=taken,
        scale=draw(st.none() | scales(dims[0], *(taken or whole))),
        target=draw(st.none() | st.integers(1, 127) | st.integers(-32767, -1) | st.just(32767)),
        target_range=draw(st.just((-127, 127)) | ranges(-32767, 32767)),
        feedback=draw(st.sampled_from(["stored", "seeded", "given", "extreme"])),
        parameters=draw(st.sampled_from(["initial", "clamp", "small", "wide"])),
        seed=draw(st.integers(0, 2**32 - 1)),
        data_seed=draw(st.integers(0, 2**32 - 1)),
        steps=tuple(draw(st.lists(steps, min_size=2, max_size=5))),
    )
    # Nothing but zeros for an input: what the biases alone can reach is then bounded loosely.
    assume(case.largest_input > 0)
    return case


@st.composite
def softmax_cases(draw: st.DrawFn) -> SoftmaxCase:
    hidden = draw(st.lists(widths, min_size=1, max_size=4))
    dtype = draw(st.sampled_from(["uint8", "int8", "int16", "uint16"]))
    whole = (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    taken = draw(st.none() | ranges(*whole))
    batch = draw(st.integers(1, 9))
    rate = draw(st.integers(1, 255) | st.just(16))
    steps = st.tuples(
        st.integers(1, batch), st.sampled_from(KINDS), st.integers(0, rate) | st.just(rate)
    )
    weights, rounding = draw(
        st.sampled_from([("int16", "nearest"), ("int16", "stochastic"), ("int8", "stochastic")])
    )
    return SoftmaxCase(
        dims=(*hidden, draw(st.integers(2, 40))),
        batch=batch,
        dtype=dtype,
        range=taken,
        scale=draw(st.none() | scales(hidden[0], *(taken or whole))),
        dropout=draw(st.none() | st.integers(0, 7)),
        rate=rate,
        rate_shift=draw(st.integers(8, 20)),
        rounding=rounding,
        weights=weights,
        activation_shift=draw(st.none() | st.integers(1, 15)),
        output_shift=draw(st.none() | st.integers(1, 15)),
        feedback=draw(st.sampled_from(["none", "stored", "seeded", "given", "extreme"])),
        feedback_limit=draw(st.integers(1, 127)),
        parameters=draw(st.sampled_from(["initial", "clamp", "small", "wide"])),
        seed=draw(st.integers(0, 2**32 - 1)),
        data_seed=draw(st.integers(0, 2**32 - 1)),
        steps=tuple(draw(st.lists(steps, min_size=2, max_size=5))),
        first_step=draw(st.integers(0, 2**32 - 1) | st.sampled_from([0, 2**32 - 2])),
        power_cut=draw(st.integers(0, 4)),
    )


# Deltas that saturate: the error and every weight as large as they can be, four layers deep.
DEEP = PocketCase(
    dims=(2, 8, 8, 8, 8),
    activations=("identity", "pocket_leakyrelu", "pocket_leakyrelu", "identity"),
    rule="Backprop",
    batch=9,
    lr_inv=1,
    dtype="int8",
    target=32767,
    parameters="clamp",
    steps=((9, "extreme", 0), (3, "random", 15), (1, "extreme", 0)),
)


# What was found and shrunk, by what was wrong or hard to reach.
KEPT = {
    "deltas that saturate": DEEP,
    # Layer 2 would draw from ±362, but only ±63 is safe.
    "a start beyond a tight clamp": PocketCase(
        dims=(4, 2, 1), activations=("identity", "identity"), rule="Backprop", dtype="int8"
    ),
    "weights at a tight clamp": PocketCase(
        dims=(4, 2, 1),
        activations=("identity", "identity"),
        rule="Backprop",
        dtype="int8",
        parameters="clamp",
        steps=((1, "extreme", 0), (1, "extreme", 15)),
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_was_found_before(name: str) -> None:
    agree(KEPT[name], ENGINES)


@settings(max_examples=EXAMPLES, print_blob=True)
@given(pocket_cases())
def test_oracle_numpy_and_c_agree(case: PocketCase) -> None:
    agree(case, ENGINES)


@settings(max_examples=5 * EXAMPLES, print_blob=True)
@given(pocket_cases())
def test_oracle_and_numpy_agree(case: PocketCase) -> None:
    agree(case, ("numpy",))


# Softmax cross-entropy at its edges: no hidden layer; shifts and dropout by default; 300 units, so
# more than one tile of gradients, over inputs of 0, whose random numbers are stepped over; 300
# classes, whose error through the largest feedback takes 64 bits; a step that wraps; products of
# gradient and rate in 64 bits; sums so near 2^31 that rounding them takes 64 bits.
SOFTMAX_EDGES = [
    SoftmaxCase(dims=(1, 2)),
    SoftmaxCase(dims=(256, 95, 49, 47, 3), batch=2, steps=((2, "sparse", 16),) * 2),
    SoftmaxCase(dims=(40, 2), dropout=7, weights="int8", rounding="stochastic", rate_shift=8),
    SoftmaxCase(
        dims=(70, 300, 3),
        batch=4,
        dropout=5,
        rate_shift=8,
        rounding="stochastic",
        steps=((4, "sparse", 16), (1, "sparse", 9), (4, "random", 0)),
        power_cut=1,
    ),
    SoftmaxCase(
        dims=(3, 5, 4, 300),
        batch=2,
        dtype="int8",
        feedback="extreme",
        parameters="wide",
        steps=((2, "random", 16), (1, "extreme", 3)),
        power_cut=1,
    ),
    SoftmaxCase(
        dims=(5, 4, 3),
        batch=2,
        dropout=3,
        rounding="stochastic",
        first_step=2**32 - 2,
        seed=2**32 - 1,
        steps=((2, "random", 16),) * 4,
        power_cut=3,
    ),
    SoftmaxCase(
        dims=(33, 9, 5, 6, 3),
        batch=9,
        dtype="int16",
        dropout=1,
        rate=255,
        rate_shift=8,
        parameters="clamp",
        feedback="extreme",
        activation_shift=15,
        steps=((9, "extreme", 255), (3, "random", 1), (9, "ramp", 200)),
        power_cut=2,
    ),
    SoftmaxCase(
        dims=(4, 9, 300, 20, 3),
        batch=3,
        feedback="none",
        parameters="clamp",
        steps=((3, "extreme", 16), (1, "random", 3)),
        power_cut=1,
    ),
    *(
        SoftmaxCase(
            dims=(535, *hidden, 3),
            batch=2,
            dtype="int16",
            range=(-31606, 31606),
            dropout=dropout,
            parameters="clamp",
            activation_shift=15,
            output_shift=15,
            steps=((2, "extreme", 16), (2, "random", 16)),
        )
        for hidden, dropout in [((), 0), ((4,), 2)]
    ),
]


@settings(max_examples=EXAMPLES, print_blob=True)
@given(softmax_cases())
def test_oracle_numpy_and_c_agree_on_softmax(case: SoftmaxCase) -> None:
    agree_softmax(case, ENGINES)


@settings(max_examples=5 * EXAMPLES, print_blob=True)
@given(softmax_cases())
def test_oracle_and_numpy_agree_on_softmax(case: SoftmaxCase) -> None:
    agree_softmax(case, ("numpy",))


@pytest.mark.parametrize("case", SOFTMAX_EDGES)
def test_the_edges_of_softmax(case: SoftmaxCase) -> None:
    agree_softmax(case, ENGINES)


# --- which models are refused -------------------------------------------------------------------


def refused(case: Case) -> bool:
    """Whether pocketgen will not build the model, whatever it starts from."""
    zero = {f"W{k}": np.zeros((n_in, n_out), np.int16) for k, n_in, n_out in fans(case)}
    zero |= {f"b{k}": np.zeros(n_out, np.int16) for k, _, n_out in fans(case)}
    feedback = None
    if case.feedback in ("given", "extreme"):
        largest = enumerate(case.largest_feedback, 1)
        feedback = {f"R{k}": np.full((case.dims[-1], case.dims[k]), r) for k, r in largest} or None
    try:
        pg.build(case.model(), weights=zero, feedback=feedback, engine="numpy")
    except UnsafeModelError:
        return True
    return False


def unsafe(case: PocketCase) -> bool:
    try:
        case.limits()
    except oracle.UnsafeError:
        return True
    return False


@settings(max_examples=3 * EXAMPLES, print_blob=True)
@given(pocket_cases(largest_width=400))
def test_exactly_the_unsafe_models_are_refused(case: PocketCase) -> None:
    if case.feedback == "stored":  # drawing hundreds of thousands of numbers here takes long
        case = replace(case, feedback="seeded")
    assert refused(case) == unsafe(case)


@pytest.mark.parametrize(
    ("dims", "activation", "target", "is_unsafe"),
    [
        # 65535 inputs up to 32768 leave room for weights of -1, 0 and 1 and nothing else.
        ((65535, 2), "pocket_tanh", 32767, False),
        ((65535, 2), "identity", 1, True),
        ((65534, 2), "identity", 32767, False),
        ((32767, 2, 2), "identity", 1, True),
    ],
)
def test_the_edge_of_refusal(
    dims: tuple[int, ...], activation: str, target: int, is_unsafe: bool
) -> None:
    activations = (activation,) * (len(dims) - 1)
    case = PocketCase(dims=dims, activations=activations, dtype="int16", target=target)
    assert unsafe(case) == is_unsafe
    assert refused(case) == is_unsafe


# --- how weights and feedback start -------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_initial_weights_of_backprop(engine: str, seed: int) -> None:
    case = PocketCase(dims=(7, 40, 3), activations=("pocket_tanh",) * 2, rule="Backprop", seed=seed)
    net = pg.build(case.model(), engine=engine, flags=("-O1",) if engine == "c" else None)

    def compare_with(seed: int) -> None:
        for k, n_in, n_out in fans(case):
            same(net.buffers[f"W{k}"], oracle.initial_weights(seed, k, n_in, n_out), f"W{k}")
            same(net.buffers[f"b{k}"], oracle.initial_biases(seed, k, n_in, n_out), f"b{k}")

    compare_with(seed)
    net.init(seed=12345)
    compare_with(12345)
    net.init()
    compare_with(seed)


@pytest.mark.parametrize("engine", ENGINES)
def test_initial_weights_stay_within_a_tight_clamp(engine: str) -> None:
    """Layer 2 would draw from ±362, but only ±63 is safe."""
    case = PocketCase(dims=(4, 2, 1), activations=("identity",) * 2, rule="Backprop", dtype="int8")
    assert case.limits() == [32767, 63]
    assert oracle.start_range(2, 1) == 362
    agree(case, (engine,))
    agree(replace(case, parameters="clamp"), (engine,))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("feedback", ["stored", "seeded"])
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_feedback_of_both_kinds(engine: str, feedback: str, seed: int) -> None:
    """Read off the deltas: at h = 0 every slope is 1, and e = -15 for the label alone."""
    case = PocketCase(
        dims=(7, 40, 9, 6),
        activations=("pocket_relu8bit",) * 3,
        dtype="int8",
        batch=6,
        feedback=feedback,
        seed=seed,
    )
    net = pg.build(case.model(), engine=engine, flags=("-O1",) if engine == "c" else None)
    net.train_batch(np.zeros((6, 7), np.int8), np.arange(6))
    for k, n_in, n_out in fans(case)[:-1]:
        expected = oracle.feedback(seed, k, n_in, n_out, 6)
        same(net.buffers[f"delta{k}"], -15 * expected, f"R{k}")
        if feedback == "stored":
            same(net.buffers[f"R{k}"], expected, f"R{k}")
            same(net.feedback()[f"R{k}"], expected, f"R{k}")
