"""Random models: oracle = numpy engine = compiled C, in every buffer after every step.

POCKETGEN_EXAMPLES=n tries n models with the C engine, and more without it, instead of the few of
a daily run. A failing model is shrunk and printed as a `Case`, which then goes into KEPT for good.
"""

from __future__ import annotations

import os
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


@dataclass(frozen=True)
class Case:
    """A model, its weights and its training, in plain numbers.

    parameters: where weights start: "initial" (as the rule says), "clamp" (every one at plus or
    minus its limit), "small" (-3..3), "wide" (uniform up to the limits).
    feedback: "stored", "seeded", "given" (an array, in the rule's range) or "extreme" (an array of
    the largest int16). steps: samples in the batch, kind of inputs, lr_shift.
    """

    dims: tuple[int, ...]
    activations: tuple[str, ...]
    rule: str = "DFA"
    batch: int = 1
    lr_inv: int = 1000
    dtype: str = "uint8"
    range: tuple[int, int] | None = None
    scale: pg.Scale | None = None
    target: int | None = 15
    target_range: tuple[int, int] = (-127, 127)
    feedback: str = "stored"
    parameters: str = "initial"
    seed: int = 1
    data_seed: int = 0
    steps: tuple[tuple[int, str, int], ...] = field(default=((1, "random", 0),))

    @property
    def raw_range(self) -> tuple[int, int]:
        kind = np.iinfo(self.dtype)
        return self.range or (int(kind.min), int(kind.max))

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

    def network_input(self, raw: np.ndarray) -> np.ndarray:
        if self.scale is None:
            return oracle.ints(raw)
        s = self.scale
        return oracle.scaled(raw, s.offset, s.multiplier, s.shift, *SCALED_MAX[s.dtype])

    def targets(self, labels: np.ndarray) -> np.ndarray:
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
        taken = pg.Input((self.dims[0],), self.dtype, self.range, self.scale)
        return pg.Model("random_model", taken, layers, rule, seed=self.seed)


# --- numbers to train with ----------------------------------------------------------------------


def numbers(
    rng: np.random.Generator, kind: str, shape: tuple[int, ...], low: int, high: int
) -> np.ndarray:
    """int64 in [low, high]: "random", "extreme" (only low and high), "ramp" of period 251."""
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
    case: Case, limits: list[int], rng: np.random.Generator
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
    weights = feedback = None
    if case.parameters != "initial":
        weights = {f"W{k + 1}": w for k, w in enumerate(W)}
        weights |= {f"b{k + 1}": bias for k, bias in enumerate(b)}
    if case.feedback in ("given", "extreme") and R:
        feedback = {f"R{k + 1}": matrix for k, matrix in enumerate(R)}
    return net, weights, feedback


# --- the comparison -----------------------------------------------------------------------------


def same(seen: np.ndarray, expected: np.ndarray, where: str) -> None:
    np.testing.assert_array_equal(oracle.ints(seen), expected, where)


def compare(case: Case, net: pg.Net, judge: oracle.Network, trace: oracle.Trace, step: str) -> None:
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
        same(net.buffers[f"W{k + 1}"], judge.W[k], f"{layer}: W")
        same(net.buffers[f"b{k + 1}"], judge.b[k], f"{layer}: b")


def samples(
    case: Case, rng: np.random.Generator, n: int, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Raw inputs (n, n_in) and labels (n,), or targets (n, n_out) of a regression."""
    raw = numbers(rng, kind, (n, case.dims[0]), *case.raw_range).astype(case.dtype)
    if case.target is None:
        return raw, numbers(rng, kind, (n, case.dims[-1]), *case.target_range)
    return raw, rng.integers(0, case.dims[-1], n)


def agree(case: Case, engines: tuple[str, ...]) -> None:
    """Train by the oracle and by engines of pocketgen alike; or none of them may."""
    try:
        limits = case.limits()
    except oracle.UnsafeError:
        assert refused(case)
        return

    rng = np.random.default_rng(case.data_seed)
    judge, weights, feedback = starting_point(case, limits, rng)
    nets = [
        pg.build(
            case.model(),
            weights=weights,
            feedback=feedback,
            engine=engine,
            flags=("-O1",) if engine == "c" else None,
        )
        for engine in engines
    ]
    for net in nets:
        for k in range(len(judge.W)):
            same(net.buffers[f"W{k + 1}"], judge.W[k], f"{net.engine}, start: W{k + 1}")
            same(net.buffers[f"b{k + 1}"], judge.b[k], f"{net.engine}, start: b{k + 1}")
        if case.feedback != "seeded":
            for k, matrix in enumerate(judge.R):
                same(net.buffers[f"R{k + 1}"], matrix, f"{net.engine}: R{k + 1}")

    for s, (n, kind, lr_shift) in enumerate(case.steps):
        raw, labels = samples(case, rng, n, kind)
        judge.lr_shift = lr_shift
        trace = judge.train(case.network_input(raw), case.targets(labels))
        for net in nets:
            net.lr_shift = lr_shift
            net.train_batch(raw, labels)
            if case.scale is not None:
                same(net.buffers["a0"][:n], case.network_input(raw), f"{net.engine}, step {s}: a0")
            compare(case, net, judge, trace, f"step {s}")

    many_batches(case, nets, judge, rng)
    inference(case, nets, judge, rng)


def many_batches(
    case: Case, nets: list[pg.Net], judge: oracle.Network, rng: np.random.Generator
) -> None:
    """train_samples: rows in a given order, the last batch smaller, a row twice."""
    n = 2 * case.batch + 1
    raw, labels = samples(case, rng, n, "random")
    order = np.append(rng.permutation(n), rng.integers(0, n))
    loss = hits = 0
    for start in range(0, len(order), case.batch):
        rows = order[start : start + case.batch]
        trace = judge.train(case.network_input(raw[rows]), case.targets(labels[rows]))
        loss += oracle.loss_of(trace.e)
        if case.target is not None:
            hits += int((trace.a[-1].argmax(axis=1) == labels[rows]).sum())
    for net in nets:
        seen_loss, seen_hits = net.train_samples(raw, labels, order)
        assert seen_hits == hits, net.engine
        assert loss > INT64_MAX or seen_loss == loss, net.engine
        for k in range(len(judge.W)):
            same(net.buffers[f"W{k + 1}"], judge.W[k], f"{net.engine}, samples: W{k + 1}")
            same(net.buffers[f"b{k + 1}"], judge.b[k], f"{net.engine}, samples: b{k + 1}")


def inference(
    case: Case, nets: list[pg.Net], judge: oracle.Network, rng: np.random.Generator
) -> None:
    """forward and predict of more samples than a batch has; weights stay."""
    raw, _ = samples(case, rng, case.batch + 2, "random")
    output = judge.forward(case.network_input(raw)).a[-1]
    for net in nets:
        same(net.forward(raw), output, f"{net.engine}: forward")
        expected = output if case.target is None else output.argmax(axis=1)
        same(net.predict(raw), expected, f"{net.engine}: predict")
        for name, values in net.weights().items():
            judged = judge.W if name[0] == "W" else judge.b
            same(values, judged[int(name[1:]) - 1], f"{net.engine}, after inference: {name}")


# --- which models -------------------------------------------------------------------------------

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
def cases(draw: st.DrawFn, largest_width: int = 40) -> Case:
    width = widths if largest_width <= 40 else st.integers(1, largest_width)
    dims = draw(st.lists(width, min_size=2, max_size=5))
    activations = [draw(st.sampled_from(oracle.ACTIVATIONS)) for _ in dims[1:]]
    dtype = draw(st.sampled_from(["uint8", "int8", "int16", "uint16"]))
    whole = (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    taken = draw(st.none() | ranges(*whole))
    batch = draw(st.integers(1, 9))
    steps = st.tuples(
        st.integers(1, batch),
        st.sampled_from(["random", "extreme", "ramp"]),
        st.integers(0, 15) | st.just(0),
    )
    case = Case(
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


# Deltas that saturate: the error and every weight as large as they can be, four layers deep.
DEEP = Case(
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
    "a start beyond a tight clamp": Case(
        dims=(4, 2, 1), activations=("identity", "identity"), rule="Backprop", dtype="int8"
    ),
    "weights at a tight clamp": Case(
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
@given(cases())
def test_oracle_numpy_and_c_agree(case: Case) -> None:
    agree(case, ENGINES)


@settings(max_examples=5 * EXAMPLES, print_blob=True)
@given(cases())
def test_oracle_and_numpy_agree(case: Case) -> None:
    agree(case, ("numpy",))


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


def unsafe(case: Case) -> bool:
    try:
        case.limits()
    except oracle.UnsafeError:
        return True
    return False


@settings(max_examples=3 * EXAMPLES, print_blob=True)
@given(cases(largest_width=400))
def test_exactly_the_unsafe_models_are_refused(case: Case) -> None:
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
    case = Case(dims=dims, activations=activations, dtype="int16", target=target)
    assert unsafe(case) == is_unsafe
    assert refused(case) == is_unsafe


# --- how weights and feedback start -------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_initial_weights_of_backprop(engine: str, seed: int) -> None:
    case = Case(dims=(7, 40, 3), activations=("pocket_tanh",) * 2, rule="Backprop", seed=seed)
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
    case = Case(dims=(4, 2, 1), activations=("identity",) * 2, rule="Backprop", dtype="int8")
    assert case.limits() == [32767, 63]
    assert oracle.start_range(2, 1) == 362
    agree(case, (engine,))
    agree(replace(case, parameters="clamp"), (engine,))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("feedback", ["stored", "seeded"])
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_feedback_of_both_kinds(engine: str, feedback: str, seed: int) -> None:
    """Read off the deltas: at h = 0 every slope is 1, and e = -15 for the label alone."""
    case = Case(
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
