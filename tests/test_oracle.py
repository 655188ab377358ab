"""The oracle against PocketNN's recorded runs, and its tables and numbers by hand."""

from __future__ import annotations

import json
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
