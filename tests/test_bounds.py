"""Proven ranges: clamps, types, refusals, and accumulators for every sum of a program."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pocketgen as pg
from pocketgen.bounds import bounds
from pocketgen.errors import DataError, PocketgenError, UnsafeModelError
from pocketgen.intmath import INT32_MAX
from pocketgen.ir import Accumulator, Program, Range, Step
from pocketgen.kernels import KERNELS
from pocketgen.lower import lower

TANH = "pocket_tanh"
SINGLE_SUMS = {  # what each kernel adds up, by the names of its accumulators
    "scale_input": {"difference", "product"},
    "scale_features": {"difference", "product"},
    "dense_forward": {"sum"},
    "dense_forward_wide": {"sum", "total"},
    "pocket_tanh": {"v"},
    "pocket_sigmoid": {"v"},
    "pocket_relu8bit": set(),
    "pocket_leakyrelu": set(),
    "identity": set(),
    "error_class": {"e"},
    "error_vector": {"e"},
    "feedback_project": {"s"},
    "feedback_project_seeded": {"s"},
    "slope_divide": set(),
    "dense_input_gradient_int8": {"s"},
    "dense_input_gradient": {"s"},
    "dense_update_weights": {"gradient", "scaled", "moved"},
    "dense_update_bias": {"gradient", "scaled", "moved"},
    "fill_zero": set(),
    "copy_table": set(),
    "draw_uniform": set(),
    "scale_kept": {"product"},
    "dropout": set(),
    "dense_forward_int8": {"h"},
    "pocket_tanh_int8": {"rounded"},
    "error_softmax": {"rounded", "total", "scaled"},
    "slope_multiply": {"product"},
    "dense_update_rows": {"gradient", "scaled", "moved"},
    "step_key": set(),
    "count_step": set(),
}


def program(
    dims: tuple[int, ...],
    activations: tuple[str, ...] | None = None,
    rule: object = None,
    dtype: str = "uint8",
    weights: dict | None = None,
    scale: pg.Scale | None = None,
) -> Program:
    names = activations or (TANH,) * (len(dims) - 1)
    layers = [pg.Dense(n, name) for n, name in zip(dims[1:], names, strict=True)]
    model = pg.Model(
        "m", pg.Input((dims[0],), dtype, scale=scale), layers, rule or pg.DFA(batch=20)
    )
    return bounds(lower(model, weights))


def limit(p: Program, name: str) -> int:
    return p.buffers[name].proven.magnitude


def steps(p: Program) -> list[Step]:
    return [*p.init, *p.forward, *p.learning_forward, *p.train]


# --- ranges -------------------------------------------------------------------------------------

small = st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(lambda ends: Range(*sorted(ends)))


def members(r: Range) -> range:
    return range(r.low, r.high + 1)


@given(small, small)
def test_range_arithmetic(a: Range, b: Range) -> None:
    products = [x * y for x, y in product(members(a), members(b))]
    assert a.product(b) == b.product(a) == Range(min(products), max(products))
    assert set(members(a)) | set(members(b)) <= set(members(a.union(b)))
    assert {a.union(b).low, a.union(b).high} <= {a.low, a.high, b.low, b.high}
    assert a.magnitude == max(map(abs, members(a)))


@given(small, st.integers(1, 5))
def test_sum_of_holds_every_partial_sum(a: Range, count: int) -> None:
    sums = [k * end for k in range(1, count + 1) for end in (a.low, a.high)]
    assert a.sum_of(count) == Range(min(sums), max(sums))


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 0, "int8"),
        (-128, 127, "int8"),
        (-129, 0, "int16"),
        (0, 128, "int16"),
        (-32768, 32767, "int16"),
        (0, 32768, "int32"),
        (-(2**31), 2**31 - 1, "int32"),
        (-(2**31) - 1, 0, "int64"),
        (-(2**63), 2**63 - 1, "int64"),
        (0, 2**63, ""),
    ],
)
def test_the_narrowest_type(low: int, high: int, dtype: str) -> None:
    assert Range(low, high).dtype() == dtype


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 0, "int32"),
        (-(2**31) + 1, 2**31 - 1, "int32"),
        (-(2**31), 0, "int64"),  # its magnitude has no place in 32 bits
        (0, 2**31, "int64"),
        (-(2**63) + 1, 2**63 - 1, "int64"),
        (-(2**63), 0, ""),
        (0, 2**63, ""),
    ],
)
def test_an_accumulator_holds_its_magnitude(low: int, high: int, dtype: str) -> None:
    accumulator = Accumulator.of("sum", Range(low, high))
    assert accumulator.dtype == dtype
    assert accumulator.worst == max(abs(low), abs(high))
    assert not dtype or accumulator.worst <= accumulator.limit


# --- weight clamps ------------------------------------------------------------------------------


def test_mnist_s_clamp() -> None:
    """PocketNN's own clamp of 32767 cannot be proven safe for 784 inputs of 8 bits."""
    p = program((784, 100, 50, 10))
    assert 784 * 255 * 32767 > 2**31
    assert limit(p, "W1") == 10741
    assert 784 * 255 * 10741 + 32767 <= INT32_MAX < 784 * 255 * 10742 + 32767
    assert limit(p, "W2") == limit(p, "W3") == limit(p, "b1") == 32767
    update = next(s.update for s in p.train if s.operands.get("W") == "W1")
    assert update is not None
    assert update.sizes["limit"] == 10741


@pytest.mark.parametrize(("features", "clamp"), [(256, 32767), (257, 32767), (258, 32640)])
def test_the_clamp_is_touched_only_where_it_must(features: int, clamp: int) -> None:
    p = program((features, 3))
    assert limit(p, "W1") == min(32767, (INT32_MAX - 32767) // (255 * features)) == clamp


def test_input_range_decides_the_clamp() -> None:
    assert limit(program((784, 10), dtype="int8"), "W1") == (INT32_MAX - 32767) // (128 * 784)
    narrow = pg.Scale(offset=128, multiplier=1, shift=4)
    assert limit(program((784, 10), scale=narrow), "W1") == 32767


def test_an_identity_output_leaves_room_for_the_error() -> None:
    for target in (1, 15, 32767):
        p = program((784, 10), ("identity",), pg.DFA(target=target))
        assert limit(p, "W1") == (INT32_MAX - 32767 - target) // (784 * 255)
        assert limit(p, "e") <= INT32_MAX
    p = program((784, 10), ("identity",), pg.DFA(target="vector", target_range=(-9, 3000)))
    assert limit(p, "W1") == (INT32_MAX - 32767 - 3000) // (784 * 255)


def test_wide_sums_keep_pocketnn_s_clamp() -> None:
    p = program((784, 100, 10), ("identity", "identity"), pg.DFA(wide_sums=True, batch=1))
    assert limit(p, "W1") == limit(p, "W2") == 32767
    assert limit(p, "h1") == INT32_MAX
    assert limit(p, "h2") == INT32_MAX - 15
    assert limit(p, "e") == INT32_MAX


def test_every_h_fits_32_bits_and_its_type() -> None:
    for dims in ((1, 1), (784, 100, 10), (65535, 2), (2, 3000, 3000, 4)):
        p = program(dims)
        for name, buffer in p.buffers.items():
            if name[0] == "h":
                assert buffer.proven.magnitude <= INT32_MAX
                assert buffer.dtype == buffer.proven.dtype()


# --- refusals -----------------------------------------------------------------------------------


def test_stacked_identity_layers_are_refused() -> None:
    with pytest.raises(UnsafeModelError) as caught:
        program((100, 100, 100), ("identity", "identity"))
    message = str(caught.value)
    reach = 100 * 255 * 32767 + 32767  # what layer 1 hands to layer 2
    assert message.startswith("layer 2: ")
    assert str(reach) in message
    assert "100 inputs" in message
    assert "2147483647" in message
    assert "bounded activation" in message
    assert "\n" not in message
    assert isinstance(caught.value, PocketgenError)


def test_too_many_wide_inputs_are_refused() -> None:
    """65535 inputs of 16 bits: with headroom for e nothing is left for a weight of 1."""
    with pytest.raises(UnsafeModelError, match=r"layer 1: .* 32768 overflow 32 bits .*65535"):
        program((65535, 2), ("identity",), dtype="int16")
    assert limit(program((65535, 2), dtype="int16"), "W1") == 1


def test_a_gradient_beyond_64_bits_is_refused() -> None:
    """The largest sums there are: 65535 samples, e near 2**31, x near 2**31."""
    identity = ("identity", "identity")
    with pytest.raises(UnsafeModelError) as caught:
        program((1, 1, 1), identity, pg.DFA(batch=65535), dtype="uint16")
    message = str(caught.value)
    assert message.startswith("layer 2: gradient of dense_update_weights can reach ")
    assert str(2**63 - 1) in message
    assert "smaller batch" in message
    program((1, 1, 1), identity, pg.DFA(batch=1), dtype="uint16")


def test_feedback_beyond_64_bits_cannot_be() -> None:
    """65535 classes, every |e| near 2**31, every |R| 32767: far within 64 bits."""
    assert 65535 * 2**31 * 32767 < 2**63


# --- given weights ------------------------------------------------------------------------------


def weights(dims: tuple[int, ...], value: int = 0) -> dict[str, np.ndarray]:
    made = {}
    for k, (n_in, n_out) in enumerate(pairwise(dims), 1):
        made[f"W{k}"] = np.full((n_in, n_out), value, np.int64)
        made[f"b{k}"] = np.zeros(n_out, np.int64)
    return made


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("inference_only", [False, True])
def test_given_weights_beyond_the_clamp_are_refused(sign: int, inference_only: bool) -> None:
    dims = (784, 10)
    model = pg.Model("m", pg.Input((784,)), [pg.Dense(10)], pg.DFA())
    given = weights(dims)
    given["W1"][700, 9] = sign * 10741
    bounds(lower(model, given, None, inference_only))
    given["W1"][700, 9] = sign * 10742
    with pytest.raises(DataError) as caught:
        bounds(lower(model, given, None, inference_only))
    message = str(caught.value)
    assert message.startswith("layer 1: W1 ")
    assert "10742" in message
    assert "10741" in message
    assert "smaller weights" in message


def test_a_random_start_is_narrowed_to_the_clamp() -> None:
    """Layer 2 would draw from ±362, but only ±63 is safe."""
    p = program((4, 2, 1), ("identity", "identity"), pg.Backprop(), dtype="int8")
    assert limit(p, "W2") == 63
    drawn = {s.operands["w"]: s.sizes["limit"] for s in p.init}
    assert drawn["W2"] == 63
    assert drawn["b2"] == 362


# --- types --------------------------------------------------------------------------------------


def test_backprop_widens_to_64_bits() -> None:
    p = program((8, 64, 64, 64, 4), rule=pg.Backprop(batch=20))
    types = {name: p.buffers[name].dtype for name in ("s3", "s2", "s1")}
    assert types == {"s3": "int32", "s2": "int64", "s1": "int64"}
    divide = {s.operands["s"]: s.sizes["saturate"] for s in p.train if "g" in s.operands}
    assert divide == {"e": 0, "s3": 0, "s2": INT32_MAX, "s1": INT32_MAX}
    assert p.buffers["delta1"].proven == Range.symmetric(INT32_MAX)
    assert p.buffers["delta1"].dtype == "int32"
    accumulators = {
        (s.operands["s"], a.dtype) for s in p.train for a in s.accumulators if a.name == "s"
    }
    assert accumulators == {("s3", "int32"), ("s2", "int64"), ("s1", "int64")}


def test_dfa_stays_in_32_bits() -> None:
    p = program((784, 100, 50, 10))
    for step in steps(p):
        for accumulator in step.accumulators:
            assert accumulator.dtype == "int32", (step.note, accumulator)


def test_types_are_the_narrowest() -> None:
    p = program((784, 100, 50, 10))
    types = {name: p.buffers[name].dtype for name in p.buffers}
    assert types["x"] == "uint8"
    assert types["a1"] == types["a2"] == types["a3"] == types["g1"] == "int8"
    assert types["h1"] == types["h2"] == types["h3"] == "int32"
    assert types["e"] == types["delta3"] == "int16"  # -127 - 15 needs 9 bits
    assert types["W1"] == types["b1"] == "int16"
    for name, buffer in p.buffers.items():
        if buffer.role in ("activation", "slope", "delta", "scratch"):
            assert buffer.dtype == buffer.proven.dtype(), name


def test_the_error_has_the_range_of_output_and_target() -> None:
    assert program((4, 3)).buffers["e"].proven == Range(-127 - 15, 127)
    sigmoid = program((4, 3), ("pocket_sigmoid",), pg.DFA(target=127))
    assert sigmoid.buffers["e"].proven == Range(1 - 127, 127)
    vector = pg.DFA(target="vector", target_range=(-5, 9))
    assert program((4, 3), rule=vector).buffers["e"].proven == Range(-127 - 9, 127 + 5)


def test_errors_of_one_sign() -> None:
    """e is never negative here, and a flat slope brings delta down to 0."""
    p = program((4, 3), ("pocket_sigmoid",), pg.DFA(target=-15))
    assert p.buffers["e"].proven == Range(1, 142)
    assert p.buffers["delta1"].proven == Range(0, 142)


# --- accumulators -------------------------------------------------------------------------------

MODELS = {
    "dfa": ((30, 20, 10), None, pg.DFA()),
    "seeded": ((30, 20, 10), None, pg.DFA(feedback="seeded")),
    "backprop": ((30, 20, 20, 20, 10), None, pg.Backprop()),
    "wide": ((784, 300, 10), None, pg.DFA(wide_sums=True)),
    "vector": ((30, 20, 3), ("pocket_relu8bit", "identity"), pg.DFA(target="vector")),
    "sigmoid": ((30, 20, 3), ("pocket_leakyrelu", "pocket_sigmoid"), pg.Backprop()),
    "softmax": ((30, 20, 3), (TANH, "identity"), pg.CrossEntropyDFA()),
    "backwards": ((30, 20, 9, 3), (TANH, TANH, "identity"), pg.CrossEntropyBackprop()),
    "bytes": (
        (30, 20, 3),
        (TANH, "identity"),
        pg.CrossEntropyDFA(weights="int8", rounding="stochastic", feedback="seeded", dropout=0),
    ),
}


@pytest.mark.parametrize("scale", ["none", "one", "per feature"])
@pytest.mark.parametrize("name", MODELS)
def test_every_sum_of_every_step_is_recorded(name: str, scale: str) -> None:
    dims, activations, rule = MODELS[name]
    offset = {"one": 9, "per feature": tuple(range(dims[0]))}.get(scale)
    p = program(dims, activations, rule, scale=None if offset is None else pg.Scale(offset, 2, 1))
    for step in steps(p):
        assert {a.name for a in step.accumulators} == SINGLE_SUMS[step.kernel.name], step.note
        for a in step.accumulators:
            assert a.dtype in ("int32", "int64")
            assert 0 <= a.worst <= a.limit
        if step.update is not None:
            assert {a.name for a in step.update.accumulators} == {"scaled", "moved"}


def test_every_kernel_is_expected_to_record_something_or_nothing() -> None:
    assert set(SINGLE_SUMS) == {name for name, kernel in KERNELS.items() if not kernel.element}


@pytest.mark.parametrize("name", MODELS)
def test_everything_has_a_range_and_a_type(name: str) -> None:
    dims, activations, rule = MODELS[name]
    p = program(dims, activations, rule)
    for buffer in p.buffers.values():
        assert buffer.dtype
        assert buffer.proven.low <= buffer.proven.high
        low, high = np.iinfo(buffer.dtype).min, np.iinfo(buffer.dtype).max
        assert low <= buffer.proven.low <= buffer.proven.high <= high, buffer.name


@pytest.mark.parametrize("name", MODELS)
def test_bounds_of_bounds_change_nothing(name: str) -> None:
    """After a step the ranges hold again, so they hold for ever."""
    dims, activations, rule = MODELS[name]
    once = program(dims, activations, rule)
    assert bounds(once) == once


@pytest.mark.parametrize("name", MODELS)
def test_the_program_given_is_left_alone(name: str) -> None:
    dims, activations, rule = MODELS[name]
    names = activations or (TANH,) * (len(dims) - 1)
    layers = [pg.Dense(n, act) for n, act in zip(dims[1:], names, strict=True)]
    lowered = lower(pg.Model("m", pg.Input((dims[0],)), layers, rule))
    before = dict(lowered.buffers)
    bounds(lowered)
    assert lowered.buffers == before
    assert lowered.buffers["h1"].range is None
