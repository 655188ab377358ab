"""The blob of weights: Python's pack and unpack, and the C's save and load, byte for byte."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pocketgen as pg
from pocketgen.errors import BlobError, ModelError
from pocketgen.host import Engine
from pocketgen.ir import Program
from pocketgen.store import CRC_BYTES, HEADER_BYTES, blob_size, pack, payload_size, unpack
from small_models import MODELS, TANH, Library, samples, some_weights, stack
from support import compiler

OK = 0
# What the C returns, and the words with which Python says the same.
REASONS = {
    -1: "cut short",
    -2: "does not start with PKTG",
    -3: "format version",
    -4: "of another model",
    -5: "checksum",
    -6: "beyond the limit|(lr_shift|rate) is",
}
SIZE, MAGIC, VERSION, MODEL, CRC, RANGE = REASONS
TINY = pg.Model("tiny", pg.Input((3,), "uint8"), stack((2, TANH), (2, TANH)), pg.DFA(batch=2))
# 784 inputs: the clamp of W1 is 10741, that of W2 32767.
CLAMPED = pg.Model("clamped", pg.Input((784,), "uint8"), stack((1, TANH), (2, TANH)), pg.DFA())


@pytest.fixture(scope="module", autouse=True)
def _throw_away_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class Device:
    """The C's save and load, on a network whose every byte can be looked at."""

    def __init__(self, model: pg.Model) -> None:
        library = Library(model)
        self.program = library.program()
        self.engine = Engine(self.program, library.plan(), ("-O1",))
        self.engine.init(1)
        self.set(some_weights(model, seed=5))
        self.set_states(3, 0x1A2B3C4D)

    def set(self, weights: dict[str, np.ndarray]) -> None:
        for name, values in weights.items():
            axes = self.program.buffers[name].axes
            self.engine.arrays[name][...] = values.transpose(axes) if axes else values

    def set_states(self, *values: int) -> None:
        for state, value in zip(self.program.states, values, strict=False):
            self.engine.arrays[state.name][...] = value

    @property
    def bytes(self) -> bytes:
        return bytes(self.engine.ffi.buffer(self.engine.net))

    def pack(self) -> bytes:
        return pack(self.program, self.engine.arrays)

    def load(self, blob: bytes) -> int:
        """What the C returns for a blob in memory of just its size."""
        memory = self.engine.ffi.new("uint8_t[]", max(len(blob), 1))
        self.engine.ffi.memmove(memory, blob, len(blob))
        return int(self.engine.function("load")(self.engine.net, memory, len(blob)))


@pytest.fixture(scope="module")
def device() -> Device:
    return Device(TINY)


NOWHERE = """
#include "tiny.h"
static tiny_t net;
int main(void)
{
    uint8_t *const nowhere = NULL;
    return tiny_load(&net, nowhere, 0) != TINY_ERR_SIZE || tiny_save(&net, nowhere, 0) != 0;
}
"""


def test_no_blob_at_all_is_refused_before_any_sum_with_its_address(tmp_path: Path) -> None:
    """NULL + 20 is undefined in C, even where nothing is read there."""
    files = {name: text for name, text in pg.generate(TINY).items() if "/" not in name}
    for name, text in {**files, "main.c": NOWHERE}.items():
        (tmp_path / name).write_text(text, "utf-8")
    sources = [name for name in (*files, "main.c") if name.endswith(".c")]
    sanitized = ["-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-o", "nowhere"]
    subprocess.run([compiler("clang"), *sanitized, *sources], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "nowhere"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def refuse(device: Device, blob: bytes, code: int) -> None:
    """C returns code and Python raises the same reason; the C's network is as it was."""
    before = device.bytes
    assert device.load(blob) == code
    assert device.bytes == before
    with pytest.raises(BlobError, match=REASONS[code]) as caught:
        unpack(device.program, blob)
    assert "\n" not in str(caught.value)


def sealed(blob: bytes) -> bytes:
    """The same bytes with the right checksum."""
    return blob[:-CRC_BYTES] + zlib.crc32(blob[:-CRC_BYTES]).to_bytes(CRC_BYTES, "little")


def changed(blob: bytes, at: int, new: bytes) -> bytes:
    return sealed(blob[:at] + new + blob[at + len(new) :])


def network(engine: str, weights: dict | None = None, inference_only: bool = False) -> pg.Net:
    flags = ("-O1",) if engine == "c" else None
    return pg.build(TINY, weights, engine=engine, flags=flags, inference_only=inference_only)


# --- what is written ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", [TINY, *MODELS.values()], ids=lambda model: model.name)
def test_c_and_python_write_the_same_bytes(model: pg.Model) -> None:
    device = Device(model)
    blob = device.engine.save()
    assert blob == device.pack()
    assert len(blob) == blob_size(device.program)
    arrays = unpack(device.program, blob)
    stored = (*device.program.parameters, *device.program.states)
    assert list(arrays) == [buffer.name for buffer in stored]
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, device.engine.arrays[name])
        assert values.dtype == device.engine.arrays[name].dtype


def test_the_layout_of_the_bytes(device: Device) -> None:
    """As a reader in another language would take it, from the description alone."""
    blob = device.engine.save()
    weights = some_weights(TINY, seed=5)
    words = [int(v) for name in ("W1", "b1", "W2", "b2") for v in weights[name].T.ravel()]
    assert blob[:4] == b"PKTG"
    assert int.from_bytes(blob[4:6], "little") == 1
    assert int.from_bytes(blob[6:8], "little") == 0
    assert int.from_bytes(blob[8:16], "little") == TINY.layout_digest
    assert int.from_bytes(blob[16:20], "little") == 2 * len(words) + 1
    values = [
        int.from_bytes(blob[20 + 2 * k : 22 + 2 * k], "little", signed=True)
        for k in range(len(words))
    ]
    assert values == words
    assert blob[-5] == 3
    assert int.from_bytes(blob[-4:], "little") == zlib.crc32(blob[:-4])
    assert len(blob) == HEADER_BYTES + payload_size(device.program) + CRC_BYTES


@pytest.mark.parametrize("name", ["softmax", "bytes"])
def test_the_layout_of_the_bytes_of_softmax(name: str) -> None:
    """W input by input, in one or two bytes; the rate in one, the step in four."""
    model = MODELS[name]
    device = Device(model)
    blob, weights = device.engine.save(), some_weights(model, seed=5)
    width = {"int16": 2, "int8": 1}[model.rule.weights]
    payload = b"".join(
        weights[n].astype(f"<i{width}").tobytes() for n in device.program.buffers if n in weights
    )
    payload += b"\x03\x4d\x3c\x2b\x1a"
    assert blob[20:-4] == payload
    assert int.from_bytes(blob[16:20], "little") == len(payload)
    assert int.from_bytes(blob[-4:], "little") == zlib.crc32(blob[:-4])


@pytest.mark.parametrize("engine", ["c", "numpy"])
def test_every_value_survives(engine: str) -> None:
    net = network(engine)
    edges = np.array([-32767, -256, -255, -1, 0, 1, 127, 128, 255, 256, 32766, 32767])
    for turn in range(len(edges)):
        ring = np.resize(np.roll(edges, turn), 14)
        given = {
            "W1": ring[:6].reshape(3, 2),
            "b1": ring[6:8],
            "W2": ring[8:12].reshape(2, 2),
            "b2": ring[12:],
        }
        net.set_weights(given)
        blob, digest = net.to_blob(), net.digest()
        net.init()
        net.from_blob(blob)
        assert net.digest() == digest
        for name, values in net.weights().items():
            np.testing.assert_array_equal(values, given[name])


def test_the_digest_is_the_crc_of_the_weights(device: Device) -> None:
    blob = device.engine.save()
    assert device.engine.digest() == zlib.crc32(blob[HEADER_BYTES : -CRC_BYTES - 1])


def test_save_needs_room(device: Device) -> None:
    size = blob_size(device.program)
    save = device.engine.function("save")
    for room in (0, 1, HEADER_BYTES, size - 1, size, size + 9):
        memory = device.engine.ffi.new("uint8_t[]", size + 10)
        device.engine.ffi.memmove(memory, b"\xee" * (size + 10), size + 10)
        assert save(device.engine.net, memory, room) == (size if room >= size else 0)
        written = bytes(device.engine.ffi.buffer(memory))
        assert written == (device.pack() if room >= size else b"").ljust(size + 10, b"\xee")


# --- what is read -------------------------------------------------------------------------------


def test_a_good_blob_is_taken_over_whole(device: Device) -> None:
    other = Device(TINY)
    other.set(some_weights(TINY, 32767, seed=6))
    other.set_states(15)
    before = device.engine.save()
    assert device.load(other.engine.save()) == OK
    assert device.engine.save() == other.engine.save()
    assert device.load(before) == OK
    assert device.engine.save() == before


def test_loading_changes_nothing_but_weights_and_lr_shift(device: Device) -> None:
    x, labels = samples(TINY, 2)
    device.engine.train_batch(x, labels)
    blob = device.engine.save()
    before = device.bytes
    assert device.load(blob) == OK
    assert device.bytes == before


def test_bytes_behind_the_blob_do_not_matter(device: Device) -> None:
    blob = device.engine.save()
    for more in (b"\0", b"\xff" * 100):
        assert device.load(blob + more) == OK
        unpack(device.program, blob + more)


def test_cut_at_every_length(device: Device) -> None:
    blob = device.engine.save()
    for length in range(len(blob)):
        refuse(device, blob[:length], SIZE)


def test_every_single_bit(device: Device) -> None:
    """Where the bit stands decides the reason."""
    blob = device.engine.save()
    places = [(4, MAGIC), (8, VERSION), (20, MODEL), (len(blob), CRC)]
    for bit in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        refuse(device, bytes(damaged), next(code for end, code in places if bit // 8 < end))


def test_every_single_bit_under_a_right_checksum(device: Device) -> None:
    """Someone computed the CRC anew: only values and lr_shift within their range get in."""
    blob = device.engine.save()
    for bit in range(8 * HEADER_BYTES, 8 * (len(blob) - CRC_BYTES)):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        forged = sealed(bytes(damaged))
        pair = HEADER_BYTES + (bit // 8 - HEADER_BYTES) // 2 * 2
        is_shift = bit // 8 == len(blob) - CRC_BYTES - 1
        if damaged[pair] <= 15 if is_shift else damaged[pair : pair + 2] != b"\x00\x80":
            assert device.load(forged) == OK
            assert device.load(blob) == OK
        else:
            refuse(device, forged, RANGE)


def test_two_bytes_swapped_anywhere(device: Device) -> None:
    blob = device.engine.save()
    for at in range(HEADER_BYTES, len(blob) - 1):
        swapped = blob[:at] + blob[at : at + 2][::-1] + blob[at + 2 :]
        if swapped != blob:
            refuse(device, swapped, CRC)


@pytest.mark.parametrize(
    "blob", [b"", b"\0" * 19, b"P" * 19, b"\0" * 100, b"PKTG", b"PKTG" * 30, b"\xff" * 100]
)
def test_bytes_that_are_no_blob(device: Device, blob: bytes) -> None:
    code = SIZE if len(blob) < 20 else MAGIC if blob[:4] != b"PKTG" else VERSION
    refuse(device, blob, code)


@pytest.mark.parametrize("version", [0, 2, 3, 256, 65535])
@pytest.mark.parametrize("flags", [0, 1, 65535])
def test_another_version_or_flag(device: Device, version: int, flags: int) -> None:
    blob = device.engine.save()
    words = version.to_bytes(2, "little") + flags.to_bytes(2, "little")
    refuse(device, changed(blob, 4, words), VERSION)


def test_a_newer_version_is_named_even_in_another_length(device: Device) -> None:
    """What comes after the version may be anything in another version."""
    blob = device.engine.save()
    refuse(device, blob[:4] + b"\2\0\0\0" + bytes(12), VERSION)


OTHERS: dict[str, Callable[[pg.Model], pg.Model]] = {
    "name": lambda m: pg.Model("tiny2", m.input, m.layers, m.rule, m.seed),
    "dtype": lambda m: pg.Model("tiny", pg.Input((3,), "int8"), m.layers, m.rule, m.seed),
    "range": lambda m: pg.Model("tiny", pg.Input((3,), range=(0, 9)), m.layers, m.rule, m.seed),
    "scale": lambda m: pg.Model(
        "tiny", replace(m.input, scale=pg.Scale(1, 2, 3)), m.layers, m.rule, m.seed
    ),
    "activation": lambda m: pg.Model("tiny", m.input, stack((2, TANH), (2, "identity")), m.rule),
    "units": lambda m: pg.Model("tiny", m.input, stack((3, TANH), (2, TANH)), m.rule),
    "layers": lambda m: pg.Model("tiny", m.input, stack((2, TANH), (2, TANH), (2, TANH)), m.rule),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_model(device: Device, what: str) -> None:
    refuse(device, Device(OTHERS[what](TINY)).engine.save().ljust(200, b"\0"), MODEL)


def test_a_payload_of_another_length(device: Device) -> None:
    blob = device.engine.save()
    for length in (
        0,
        payload_size(device.program) - 1,
        payload_size(device.program) + 1,
        2**32 - 1,
    ):
        refuse(device, changed(blob, 16, length.to_bytes(4, "little")), MODEL)


def test_the_rule_may_change(device: Device) -> None:
    """Weights trained by one rule go on with another."""
    tuned = pg.Model("tiny", TINY.input, TINY.layers, pg.Backprop(lr_inv=9, batch=7), seed=5)
    other = Device(tuned)
    assert other.load(device.engine.save()) == OK
    assert other.engine.save() == device.engine.save()


# --- ranges -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clamped() -> Device:
    return Device(CLAMPED)


def place(program: Program, name: str) -> int:
    """Where a parameter's first value stands in the blob."""
    at = HEADER_BYTES
    for p in program.parameters:
        if p.name == name:
            return at
        at += 2 * p.size
    raise KeyError(name)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("name", "limit"), [("W1", 10741), ("b1", 32767), ("W2", 32767), ("b2", 32767)]
)
def test_values_beyond_the_clamp_with_a_right_checksum(
    clamped: Device, name: str, limit: int, last: bool
) -> None:
    """Overflow is excluded for values within the clamp only, so no other may get in."""
    blob = clamped.engine.save()
    size = clamped.program.buffers[name].size
    at = place(clamped.program, name) + (2 * (size - 1) if last else 0)
    for value in (-limit, limit):
        assert clamped.load(changed(blob, at, value.to_bytes(2, "little", signed=True))) == OK
    assert clamped.load(blob) == OK
    for value in {-limit - 1, min(limit + 1, 32767), -32768} - {limit}:
        refuse(clamped, changed(blob, at, value.to_bytes(2, "little", signed=True)), RANGE)


@pytest.mark.parametrize("lr_shift", [0, 15, 16, 128, 255])
def test_lr_shift(device: Device, lr_shift: int) -> None:
    blob = device.engine.save()
    other = changed(blob, len(blob) - CRC_BYTES - 1, bytes([lr_shift]))
    if lr_shift > 15:
        refuse(device, other, RANGE)
        return
    assert device.load(other) == OK
    found = unpack(device.program, other)["lr_shift"]
    assert found == int(device.engine.arrays["lr_shift"]) == lr_shift
    assert device.load(blob) == OK


@pytest.mark.parametrize("rate", [0, 16, 17, 255])
def test_rate(rate: int) -> None:
    softmax = Device(MODELS["softmax"])
    blob = softmax.engine.save()
    other = changed(blob, len(blob) - CRC_BYTES - 5, bytes([rate]))
    if rate > 16:
        refuse(softmax, other, RANGE)
        return
    assert softmax.load(other) == OK
    assert softmax.engine.save() == other
    assert unpack(softmax.program, other)["rate"] == rate


@pytest.mark.parametrize("name", ["softmax", "bytes"])
def test_forward_weights_beyond_their_clamp(name: str) -> None:
    device = Device(MODELS[name])
    blob, limit = device.engine.save(), {"softmax": 32512, "bytes": 127}[name]
    width = {"softmax": 2, "bytes": 1}[name]
    for value, code in [(limit, OK), (-limit, OK), (-limit - 1, RANGE)]:
        other = changed(blob, HEADER_BYTES, value.to_bytes(width, "little", signed=True))
        if code == OK:
            assert device.load(other) == OK
            assert device.engine.save() == other
        else:
            refuse(device, other, code)


def test_a_rate_of_any_byte() -> None:
    """Nothing to check then."""
    softmax = MODELS["softmax"]
    device = Device(replace(softmax, rule=replace(softmax.rule, rate=255)))
    blob = device.engine.save()
    other = changed(blob, len(blob) - CRC_BYTES - 5, b"\xff")
    assert device.load(other) == OK
    assert device.engine.save() == other


# --- networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["c", "numpy"])
@pytest.mark.parametrize("writer", ["c", "numpy"])
def test_one_engine_goes_on_where_another_stopped(writer: str, reader: str) -> None:
    x, labels = samples(TINY, 6)
    one, other = network(writer), network(reader)
    one.train_samples(x, labels, np.arange(6))
    one.lr_shift = 2
    other.from_blob(one.to_blob())
    assert other.lr_shift == 2
    assert other.digest() == one.digest()
    for net in (one, other):
        net.train_samples(x, labels, np.arange(6)[::-1])
    assert one.to_blob() == other.to_blob()
    np.testing.assert_array_equal(one.forward(x), other.forward(x))


@pytest.mark.parametrize("engine", ["c", "numpy"])
def test_a_network_that_refuses_a_blob_is_as_it_was(engine: str) -> None:
    net = pg.build(
        TINY, some_weights(TINY), engine=engine, flags=("-O1",) if engine == "c" else None
    )
    net.lr_shift = 4
    blob = net.to_blob()
    bad = [blob[:-1], b"", changed(blob, 4, b"\2"), changed(blob, 9, b"\0\0\0"), blob[:-1] + b"x"]
    bad += [changed(blob, HEADER_BYTES, b"\0\x80"), changed(blob, len(blob) - 5, b"\x10")]
    for k, damaged in enumerate(bad):
        with pytest.raises(BlobError):
            net.from_blob(damaged)
        assert net.to_blob() == blob, k
        assert net.lr_shift == 4


@pytest.mark.parametrize("engine", ["c", "numpy"])
def test_save_and_load_by_file(engine: str, tmp_path: Path) -> None:
    net = pg.build(
        TINY, some_weights(TINY), engine=engine, flags=("-O1",) if engine == "c" else None
    )
    net.save(tmp_path / "weights.pkt")
    net.save(str(tmp_path / "again.pkt"))
    assert (tmp_path / "weights.pkt").read_bytes() == net.to_blob()
    before = net.digest()
    net.init()
    assert net.digest() != before
    net.load(str(tmp_path / "again.pkt"))
    assert net.digest() == before
    for path in (tmp_path / "missing.pkt", tmp_path):
        with pytest.raises(BlobError, match="cannot read") as caught:
            net.load(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("engine", ["c", "numpy"])
def test_only_forward_weights_make_no_blob(engine: str) -> None:
    model = MODELS["softmax"]
    flags = ("-O1",) if engine == "c" else None
    net = pg.build(model, some_weights(model), engine=engine, flags=flags, inference_only=True)
    with pytest.raises(ModelError, match="only the forward weights"):
        net.to_blob()


@pytest.mark.parametrize("engine", ["c", "numpy"])
def test_a_network_that_only_predicts(engine: str) -> None:
    weights = some_weights(TINY)
    net = network(engine, weights, inference_only=True)
    trainer = network("numpy", weights)
    assert net.to_blob() == trainer.to_blob()
    assert net.digest() == trainer.digest()
    with pytest.raises(ModelError, match="only predicts"):
        net.from_blob(trainer.to_blob())
