"""The oracle against PocketNN's recorded runs, and its tables and numbers by hand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import oracle
from support import repository_root

recordings = sorted((repository_root / "tests" / "vectors" / "pocketnn").glob("*.npz"))


def test_the_recordings_are_there() -> None:
    assert len(recordings) == 6


@pytest.mark.parametrize("path", recordings, ids=lambda path: path.stem)
def test_the_oracle_repeats_pocketnn(path: Path) -> None:
    with np.load(path) as recording:
        recorded = dict(recording)
    meta = json.loads(str(recorded.pop("meta")))
    layers = range(len(meta["dims"]) - 1)
    net = oracle.Network(
        activations=[meta["activation"]] * len(layers),
        W=[recorded.pop(f"W0_{k}") for k in layers],
        b=[recorded.pop(f"b0_{k}")[0] for k in layers],
        R=[recorded.pop(f"R_{k}") for k in layers[:-1]] if meta["rule"] == "dfa" else [],
        lr_inv=meta["lr_inv"],
    )
    for s in range(meta["steps"]):
        x, y = recorded.pop(f"x_s{s}"), recorded.pop(f"y_s{s}")
        labels = y.argmax(axis=1)
        expected = oracle.class_targets(labels, meta["dims"][-1], meta["target"])
        np.testing.assert_array_equal(y, expected)
        trace = net.train(x, y)
        np.testing.assert_array_equal(trace.a[-1], recorded.pop(f"out_s{s}"))
        for k in layers:
            for name, seen in [("h", trace.h), ("a", trace.a), ("g", trace.g), ("W", net.W)]:
                where = f"step {s}, layer {k}, {name}"
                np.testing.assert_array_equal(seen[k], recorded.pop(f"{name}_s{s}_{k}"), where)
            np.testing.assert_array_equal(net.b[k], recorded.pop(f"b_s{s}_{k}")[0])
    assert not recorded, "arrays that nothing was compared with"


# --- activations at their edges -----------------------------------------------------------------

# v, tanh, sigmoid, inverse slope of both: on both sides of every edge, and where division by
# 2, 4 and 8 truncates.
POCKET_TABLE = [
    (-128, -127, 1, 127),
    (-127, -119, 5, 8),
    (-126, -119, 5, 8),
    (-124, -119, 5, 8),
    (-123, -118, 5, 8),
    (-120, -118, 5, 8),
    (-119, -117, 6, 8),
    (-75, -106, 11, 8),
    (-74, -106, 11, 2),
    (-73, -105, 12, 2),
    (-32, -64, 32, 2),
    (-31, -62, 33, 1),
    (-1, -2, 63, 1),
    (0, 0, 64, 1),
    (1, 2, 65, 1),
    (31, 62, 95, 1),
    (32, 64, 96, 2),
    (33, 65, 96, 2),
    (74, 106, 117, 2),
    (75, 106, 117, 8),
    (76, 107, 117, 8),
    (80, 108, 118, 8),
    (127, 119, 123, 8),
    (128, 127, 127, 127),
    (8_388_607, 127, 127, 127),
    (-8_388_607, -127, 1, 127),
]


@pytest.mark.parametrize("n_in", [1, 3, 784])
def test_pocket_tanh_table(n_in: int) -> None:
    divisor = 256 * n_in
    for v, value, _, slope in POCKET_TABLE:
        # every h that truncates to v: |h| from |v| * divisor to (|v| + 1) * divisor - 1
        sign = -1 if v < 0 else 1
        for h in {v * divisor, v * divisor + sign * (divisor - 1)}:
            a, g = oracle.activate("pocket_tanh", oracle.ints([h]), n_in)
            assert (a[0], g[0]) == (value, slope), (v, h)
    h = oracle.ints([-divisor + 1, divisor - 1])  # both sides of 0 truncate to it
    assert oracle.activate("pocket_tanh", h, n_in)[0].tolist() == [0, 0]


@pytest.mark.parametrize("n_in", [1, 784])
def test_pocket_sigmoid_table(n_in: int) -> None:
    for v, _, value, slope in POCKET_TABLE:
        sign = -1 if v < 0 else 1
        for h in {v * 256, v * 256 + sign * 255}:
            a, g = oracle.activate("pocket_sigmoid", oracle.ints([h]), n_in)
            assert (a[0], g[0]) == (value, slope), (v, h)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "pocket_relu8bit",
            [
                (-(2**31), 0, 2**31 - 1),
                (-1, 0, 2**31 - 1),
                (0, 0, 1),
                (1, 1, 1),
                (127, 127, 1),
                (128, 127, 2**31 - 1),
                (2**31 - 1, 127, 2**31 - 1),
            ],
        ),
        (
            "pocket_leakyrelu",
            [
                (-(2**31), -32767, 2**31 - 1),
                (-32768, -32767, 2**31 - 1),
                (-32767, -6553, 5),
                (-9, -1, 5),
                (-5, -1, 5),
                (-4, 0, 5),
                (-1, 0, 5),
                (0, 0, 1),
                (1, 1, 1),
                (32766, 32766, 1),
                (32767, 32767, 2**31 - 1),
                (2**31 - 1, 32767, 2**31 - 1),
            ],
        ),
        ("identity", [(-(2**31), -(2**31), 1), (-1, -1, 1), (0, 0, 1), (2**31 - 1, 2**31 - 1, 1)]),
    ],
)
def test_activations_without_a_divisor(name: str, rows: list[tuple[int, int, int]]) -> None:
    h, value, slope = (oracle.ints(column) for column in zip(*rows, strict=True))
    a, g = oracle.activate(name, h, 784)
    assert a.tolist() == value.tolist()
    assert g.tolist() == slope.tolist()


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("pocket_tanh", -127, 127),
        ("pocket_sigmoid", 1, 127),
        ("pocket_relu8bit", 0, 127),
        ("pocket_leakyrelu", -32767, 32767),
        ("identity", -70_000, 70_000),
    ],
)
def test_activations_rise_and_fill_their_range(name: str, low: int, high: int) -> None:
    h = np.arange(-70_000, 70_001, dtype=np.int64)
    a, g = oracle.activate(name, h, 1)
    assert (a[0], a[-1]) == (low, high)
    assert np.diff(a).min() >= 0
    assert g.min() == 1


# --- the small parts ----------------------------------------------------------------------------


def test_division_truncates() -> None:
    assert oracle.div(oracle.ints([-257, -256, -255, 257]), 256).tolist() == [-1, -1, 0, 1]
    assert oracle.div(oracle.ints([-257, 257, 255]), -256).tolist() == [1, -1, 0]
    assert oracle.div(np.array([-(10**30), 10**30], object), -(10**29)).tolist() == [10, -10]


def test_products_stay_exact_beyond_64_bits() -> None:
    big = oracle.ints([[2**62, 2**62, 2**62]])
    assert oracle.product(big, big.T).tolist() == [[3 * 2**124]]
    odd = oracle.ints([[2**31 - 1, 2**30 + 1]])
    assert oracle.product(odd, odd.T).tolist() == [[(2**31 - 1) ** 2 + (2**30 + 1) ** 2]]


def test_scaling_truncates_and_clamps() -> None:
    raw = oracle.ints([[0, 127, 129, 255, 1000]])
    x = oracle.scaled(raw, 128, 3, 2, -127, 127)
    assert x.tolist() == [[-96, 0, 0, 95, 127]]
    per_feature = oracle.scaled(oracle.ints([[10, 10]]), (0, 20), (1, 4), 1, -127, 127)
    assert per_feature.tolist() == [[5, -20]]


def test_each_square_is_halved_by_itself() -> None:
    assert oracle.loss_of(oracle.ints([[1, -1, 3], [0, 2, -2]])) == 0 + 0 + 4 + 0 + 2 + 2


def test_the_weight_clamp_of_a_pixel_network() -> None:
    assert oracle.weight_limits([784, 100], ["pocket_tanh"], 255, 15) == [10741]
    assert oracle.weight_limits([784, 100], ["pocket_tanh"], 127, 15) == [21567]


def test_the_last_identity_layer_leaves_room_for_the_target() -> None:
    room = 2**31 - 1 - 32767
    assert oracle.weight_limits([65535, 1], ["pocket_tanh"], 32768, 0) == [1]
    assert room == 65535 * 32768  # so the next one does not fit
    with pytest.raises(oracle.UnsafeError):
        oracle.weight_limits([65536, 1], ["pocket_tanh"], 32768, 0)
    assert oracle.weight_limits([65535, 1], ["identity"], 32768, 0) == [1]
    with pytest.raises(oracle.UnsafeError):
        oracle.weight_limits([65535, 1], ["identity"], 32768, 1)


def test_the_next_layer_reads_what_the_activation_can_reach() -> None:
    """784 times 10741 times 255 saturates each of them; a bias alone does not saturate tanh."""
    for activation, largest in [("pocket_tanh", 127), ("pocket_leakyrelu", 32767)]:
        limits = oracle.weight_limits([784, 5000, 1], [activation, "pocket_relu8bit"], 255, 15)
        assert limits == [10741, min(32767, (2**31 - 1 - 32767) // (5000 * largest))]
    assert oracle.output_range("pocket_tanh", 1, 0, 32767) == (-119, 119)


def test_identity_passes_its_bound_on() -> None:
    limits = oracle.weight_limits([1, 1, 1], ["identity", "identity"], 128, 1000)
    h_max = 128 * 32767 + 32767
    assert limits == [32767, (2**31 - 1 - 1000 - 32767) // h_max]


def test_the_clamps_hold_every_sum() -> None:
    """The worst inputs and weights that the limits admit, through the oracle's own checks."""
    activations = ["identity", "pocket_leakyrelu", "identity"]
    limits = oracle.weight_limits([3, 2, 7, 4], activations, 128, 300)
    for sign in (-1, 1):
        W = [np.full(shape, limits[k]) for k, shape in enumerate([(3, 2), (2, 7), (7, 4)])]
        b = [np.full(n, 32767) for n in (2, 7, 4)]
        net = oracle.Network(activations, W, b, lr_inv=1, limits=limits)
        trace = net.train(np.full((9, 3), sign * 128), np.full((9, 4), -sign * 300))
        assert np.abs(trace.h[0]).max() > 12_000_000
        for k in range(3):
            assert np.abs(net.W[k]).max() <= limits[k]
            assert np.abs(net.b[k]).max() <= 32767


def test_gradients_beyond_64_bits_are_unsafe() -> None:
    """Layer 2 reads up to 128·32767·n + 32767 of layer 1, and its delta may have 31 bits."""
    dims, activations = [100, 1, 1], ["identity", "identity"]
    limits = oracle.weight_limits(dims, activations, 128, 127)
    assert limits == [32767, 5]
    largest = 100 * 128 * 32767 + 32767
    error = largest * 5 + 32767 + 127
    for batch, is_safe in [(2**63 // (largest * error), True), (2**63 // largest, False)]:
        arguments = (dims, activations, limits, 128, (-127, 127), batch)
        for feedback in ([], [100]):
            if is_safe:
                oracle.check_gradients(*arguments, feedback)
            else:
                with pytest.raises(oracle.UnsafeError):
                    oracle.check_gradients(*arguments, feedback)


def test_backprop_uses_the_updated_next_layer() -> None:
    net = oracle.Network(
        ["identity", "identity"], [oracle.ints([[2]]), oracle.ints([[3]])], [[0], [0]], lr_inv=1
    )
    trace = net.train(oracle.ints([[1]]), oracle.ints([[4]]))
    # a = 2, 6; e = 2; W2 = 3 - 2*2 = -1; delta1 = 2 * -1 = -2; W1 = 2 - 1*-2 = 4
    assert trace.e.tolist() == [[2]]
    assert trace.delta[0].tolist() == [[-2]]
    assert [net.W[0].tolist(), net.W[1].tolist()] == [[[4]], [[-1]]]
    assert [net.b[0].tolist(), net.b[1].tolist()] == [[2], [-2]]


def test_a_halved_rate_truncates_twice() -> None:
    net = oracle.Network(["identity"], [oracle.ints([[0]])], [[0]], lr_inv=10, lr_shift=2)
    # e = -79: the change is 79/10 = 7 without lr_shift, 7/4 = 1 with it
    net.train(oracle.ints([[1]]), oracle.ints([[79]]))
    assert net.W[0].tolist() == [[1]]
    assert net.b[0].tolist() == [1]


# --- random numbers -----------------------------------------------------------------------------


def test_mix_is_a_bijection_of_a_sample_and_scatters() -> None:
    words = [oracle.mix(word) for word in range(4096)]
    assert len(set(words)) == 4096
    assert words[0] == 0
    assert all(0 <= word < 2**32 for word in words)
    ones = np.unpackbits(np.array(words, np.uint32).view(np.uint8)).mean()
    assert abs(ones - 0.5) < 0.01


@pytest.mark.parametrize("r", [1, 2, 21, 181, 442])
def test_uniform_numbers_reach_both_ends_and_skip_zero(r: int) -> None:
    drawn = oracle.uniform_tensor(12345, oracle.FEEDBACK + 1, 50, 20 * r, r).reshape(-1)
    assert set(drawn.tolist()) == set(range(-r, r + 1)) - {0}
    # mean of N numbers: standard deviation r / sqrt(3 N); within 4 of them
    assert abs(drawn.mean()) < 4 * (r + 1) / np.sqrt(3 * drawn.size)


def test_seed_tag_and_index_each_change_the_numbers() -> None:
    base = oracle.uniform_tensor(1, oracle.WEIGHTS + 1, 1, 64, 1000)
    assert (base != oracle.uniform_tensor(2, oracle.WEIGHTS + 1, 1, 64, 1000)).mean() > 0.9
    assert (base != oracle.uniform_tensor(1, oracle.WEIGHTS + 2, 1, 64, 1000)).mean() > 0.9
    assert (base != oracle.uniform_tensor(1, oracle.BIASES + 1, 1, 64, 1000)).mean() > 0.9
    assert len(set(base[0].tolist())) > 55


def test_the_storage_order_of_initial_weights_and_feedback() -> None:
    seed, r = 2**32 - 1, oracle.start_range(5, 3)
    assert r == 221  # isqrt(393204 // 8) = isqrt(49150)
    W = oracle.initial_weights(seed, 2, 5, 3)
    assert W.shape == (5, 3)
    assert W[4, 1] == oracle.uniform(seed, 0x102, 1 * 5 + 4, r)
    R = oracle.feedback(seed, 2, 5, 3, 7)
    assert R.shape == (7, 3)
    assert R[6, 2] == oracle.uniform(seed, 0x302, 6 * 3 + 2, r)
    assert oracle.initial_biases(seed, 2, 5, 3)[1] == oracle.uniform(seed, 0x202, 1, r)
    assert oracle.start_range(300_000, 300_000) == 1
    assert oracle.start_range(784, 100) == 21


# --- pocketgen's own rule -----------------------------------------------------------------------


def own_network(dims: list[int], **parameters: object) -> oracle.CrossEntropyNetwork:
    """Weights and biases that read as 0, feedback of 1, no dropout, shifts 7 and 9."""
    parameters = {"activation_shift": 7, "output_shift": 9} | parameters
    pairs = list(pairwise(dims))
    return oracle.CrossEntropyNetwork(
        W=[np.full(pair, 0 if parameters.get("only_bytes") else 128) for pair in pairs],
        b=[np.zeros(n_out, np.int64) for _, n_out in pairs],
        R=[np.ones((dims[-1], n_out), np.int64) for _, n_out in pairs[:-1]],
        **{"seed": 7, "dropout": 0, "rate": 16, "rate_shift": 13} | parameters,
    )


def test_the_table_of_exponentials() -> None:
    table = oracle.EXPONENTIALS
    assert len(table) == 256
    assert table[0] == 32767
    assert table[16] == 12054  # 32767 / e = 12054.3
    assert table[1] == 30782  # 32767 exp(-1/16) = 30781.7
    assert table[255] == 1  # would be 0.004
    assert all(one >= other >= 1 for one, other in pairwise(table))


def test_tanh_and_four_times_its_slope() -> None:
    rows = [(0, 0, 8), (31, 62, 8), (32, 64, 4), (74, 106, 4), (75, 106, 1), (79, 107, 1)]
    rows += [(80, 108, 1), (127, 119, 1), (128, 127, 0), (10**6, 127, 0)]
    for z, value, slope in rows:
        for sign in (1, -1):
            y, f = oracle.tanh_with_slope(oracle.ints([sign * z]))
            assert (y[0], f[0]) == (sign * value, slope), z


@pytest.mark.parametrize(
    ("acc", "expected"),
    [
        # Two equal exponentials of 32767: (32767 * 256 + 32767) / 65534 = 128.5, rounded down.
        ([0, 0], [-128, 128]),
        # q = 0 from -256 to 255.
        ([-256, 255], [-128, 128]),
        # q = 16 and 0: 8410762 / 44821 = 187.6 and 3108234 / 44821 = 69.3.
        ([8192, 0], [-69, 69]),
        ([7936, 255], [-69, 69]),
        # Exponentials 32767 and 1, beyond the end of the table.
        ([2**20, 0], [0, 0]),
        ([0, 2**20], [-256, 256]),
        # Three: 8437504 / 98301 = 85.8 each.
        ([5, 5, 5], [-171, 85, 85]),
    ],
)
def test_softmax_s_error(acc: list[int], expected: list[int]) -> None:
    assert oracle.softmax_error(oracle.ints([acc]), oracle.ints([0]), 9).tolist() == [expected]


def test_the_largest_sum_of_pixels() -> None:
    assert oracle.largest_sum([784, 100, 50, 10], 127) == 12_653_264
    assert oracle.largest_sum([1, 100, 2], 255) == 100 * 127 * 127 + 64 * 127


@pytest.mark.parametrize(("n_in", "r"), [(784, 506), (200, 1003), (100, 1418), (50, 2006)])
def test_how_own_weights_start(n_in: int, r: int) -> None:
    W, b = oracle.own_start(9, 2, n_in, 3)
    assert W[n_in - 1, 1] == 128 + oracle.uniform(9, 0x102, (n_in - 1) * 3 + 1, r)
    assert b.tolist() == [0, 0, 0]
    W, b = oracle.own_start(9, 2, n_in, 3, only_bytes=True)
    assert W[n_in - 1, 1] == oracle.uniform(9, 0x102, (n_in - 1) * 3 + 1, r // 256)
    R = oracle.own_feedback(9, 2, 5, 3, 63)
    assert R[2, 4] == oracle.uniform(9, 0x302, 2 * 5 + 4, 63)


def test_forward_weights_of_one_byte_start_at_1_where_inputs_are_many() -> None:
    W, _ = oracle.own_start(1, 1, 4000, 1, only_bytes=True)
    assert set(W.reshape(-1).tolist()) == {-1, 1}


def test_what_follows_from_the_number_of_inputs() -> None:
    inputs = [1, 11, 12, 47, 48, 95, 96, 255, 256, 784]
    assert [oracle.own_dropout(n) for n in inputs] == [0, 0, 1, 1, 1, 1, 2, 2, 3, 3]
    assert [oracle.own_shift(n, 7) for n in inputs] == [5, 5, 6, 6, 7, 7, 7, 7, 7, 7]
    net = own_network([48, 30, 2], dropout=None, activation_shift=None, output_shift=None)
    assert (net.dropout, net.output_shift) == (1, 8)
    net.b = [oracle.ints([256] * 30), oracle.ints([0, 0])]  # 64 / 128 rounds up to 1, twice that 2
    assert set(net.forward(np.zeros((1, 48))).a[0][0].tolist()) == {2}


def test_a_step_of_the_output_layer_by_hand() -> None:
    net = own_network([1, 2])
    trace = net.train(oracle.ints([[100]]), oracle.ints([0]))
    assert trace.e.tolist() == [[-128, 128]]
    # W: (-12800 * 16 + 4096) / 8192 = -24.5, (12800 * 16 + 4096) / 8192 = 25.5, both rounded down
    assert net.W[0].tolist() == [[128 + 25, 128 - 25]]
    # b: (-128 * 16 + 64) / 128 = -15.5, (128 * 16 + 64) / 128 = 16.5
    assert net.b[0].tolist() == [16, -16]
    assert net.step == 1


def test_a_step_through_a_hidden_layer_by_hand() -> None:
    net = own_network([1, 1, 2])
    net.W = [oracle.ints([[2688]]), oracle.ints([[256, -256]])]
    net.b = [oracle.ints([-768]), oracle.ints([0, 0])]
    net.R = [oracle.ints([[10], [-20]])]
    trace = net.train(oracle.ints([[100]]), oracle.ints([0]))
    # 100 * 10 - 64 * 3 = 808, (808 + 64) / 128 = 6; 2 * 6 = 12, slope 2
    assert [h.tolist() for h in trace.h] == [[[808]], [[12, -12]]]
    assert [a.tolist() for a in trace.a] == [[[12]], [[12, -12]]]
    assert [g.tolist() for g in trace.g] == [[[8]]]
    # -128 * 10 - 128 * 20 = -3840, / 8 = -480; (-480 * 8 + 32) / 64 = -59.5
    assert [d.tolist() for d in trace.delta] == [[[-60]], [[-128, 128]]]
    # (12 * -128 * 16 + 4096) / 8192 = -2.5, (12 * 128 * 16 + 4096) / 8192 = 3.5
    assert net.W[1].tolist() == [[259, -259]]
    assert net.b[1].tolist() == [16, -16]
    # (100 * -60 * 16 + 4096) / 8192 = -11.2; (-60 * 16 + 64) / 128 = -7
    assert net.W[0].tolist() == [[2700]]
    assert net.b[0].tolist() == [-761]


def test_deltas_and_weights_stop_at_their_limits() -> None:
    for only_bytes, limit in ((False, 32512), (True, 127)):
        net = own_network([1, 1, 2], rate=255, rate_shift=8, only_bytes=only_bytes, stochastic=True)
        net.R = [oracle.ints([[-300], [300]])]
        for _ in range(20):
            trace = net.train(oracle.ints([[127]] * 9), oracle.ints([0] * 9))
            assert np.abs(trace.delta[0]).max() <= 1023
        assert abs(net.W[0].item()) == limit
    first = own_network([1, 1, 2])
    first.R = [oracle.ints([[-300], [300]])]  # (2 * 128 * 300 / 8 * 8 + 32) / 64 = 1200
    assert first.train(oracle.ints([[127]]), oracle.ints([0])).delta[0].item() == 1023


def test_weights_of_one_byte_move_by_whole_forward_units() -> None:
    net = own_network([1, 2], only_bytes=True, rate_shift=8)
    net.train(oracle.ints([[100]]), oracle.ints([0]))
    # (-12800 * 16 + 2^15) / 2^16 = -2.6; b: (-128 * 16 + 512) / 1024 = -1.5
    assert net.W[0].tolist() == [[3, -3]]
    assert net.b[0].tolist() == [2, -2]


def test_prediction_scales_its_input() -> None:
    net = own_network([1, 2], dropout=3)
    assert net.forward(oracle.ints([[10], [-10], [127]])).x.tolist() == [[6], [-6], [79]]
    x = np.arange(-128, 256)[:, np.newaxis]
    np.testing.assert_array_equal(own_network([1, 2]).forward(x).x, x)


@pytest.mark.parametrize("dropout", range(8))
def test_so_many_eighths_of_the_inputs_are_dropped(dropout: int) -> None:
    net = own_network([70, 2], dropout=dropout)
    gone = net.dropped(100, 70)
    p, n = dropout / 8, gone.size
    assert abs(gone.sum() - n * p) <= 4 * np.sqrt(n * p * (1 - p))
    if dropout > 0:
        assert len({row.tobytes() for row in gone}) == 100
        net.step = 1
        assert (net.dropped(100, 70) != gone).any(axis=1).all()


def test_a_dropped_input_by_hand() -> None:
    """Half of the inputs: those whose third and highest digit is 0. Input 37 of row 2 of 70."""
    net = own_network([70, 3, 2], dropout=4)
    net.step = 2**32 - 1
    key = oracle.mix(7 ^ oracle.mix(((2**32 - 1) * 5 + 0x1000) % 2**32))
    word = 2 * 3 + 1
    digit = oracle.mix((key + 3 * word + 2) % 2**32) >> 5 & 1
    assert net.dropped(3, 70)[2, 37] == (digit == 0)


def test_rounding_at_random_moves_a_weight_by_the_mean() -> None:
    net = own_network([2, 3, 2], stochastic=True)
    w = np.zeros((64, 64), np.int64)
    for quarters in (-3, -1, 0, 1, 2):
        moved = net.moved(w, np.full(w.shape, quarters * 2**7), 1, 13)  # 16 * 2^7 = 2^13 / 4
        p = quarters / 4 % 1
        assert set(moved.reshape(-1).tolist()) <= {-(quarters // 4), -(quarters // 4) - 1}
        assert abs((-moved).mean() - quarters / 4) <= 4 * np.sqrt(p * (1 - p) / w.size)


def test_which_random_number_rounds_which_weight() -> None:
    """After the fourth update of layer 1 of two: place 3 is its W, place 4 its b."""
    net = own_network([3, 2, 2], stochastic=True, step=4)
    before = [w.copy() for w in (net.W[0], net.b[0])]
    x = oracle.ints([[90, -50, 7]])
    trace = net.train(x, oracle.ints([1]))
    delta = trace.delta[0][0]
    for place, shift, index, gradient, w, moved in [
        (3, 13, 5, 7 * delta[1], before[0][2, 1], net.W[0][2, 1]),
        (4, 7, 1, delta[1], before[1][1], net.b[0][1]),
    ]:
        key = oracle.mix(7 ^ oracle.mix(4 * 5 + 0x1000 + place))
        noise = oracle.mix((key + index) % 2**32) >> (32 - shift)
        assert moved == w - ((int(gradient) * 16 + noise) >> shift)
