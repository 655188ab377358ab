"""The blob of weights that devices save and load: the Python twin of <p>_store.c.

In: a Program and its parameters in storage order, or bytes. Out: bytes, or parameters.
Not here: files.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from pocketgen.errors import BlobError
from pocketgen.ir import Array, Buffer, Program

MAGIC = b"PKTG"
VERSION = 1
HEADER_BYTES = 20
CRC_BYTES = 4


def blob_size(program: Program) -> int:
    """Bytes of a blob."""
    return HEADER_BYTES + payload_size(program) + CRC_BYTES


def payload_size(program: Program) -> int:
    """Bytes of weights, biases and the states of training."""
    return sum(item_bytes(b) * b.size for b in (*program.parameters, *program.states))


def item_bytes(buffer: Buffer) -> int:
    """Bytes of one value of a buffer."""
    return int(np.dtype(buffer.dtype).itemsize)


def little_endian(buffer: Buffer) -> str:
    """A buffer's type as blobs hold it, whatever the machine."""
    return str(np.dtype(buffer.dtype).newbyteorder("<").str)


def pack(program: Program, arrays: Mapping[str, Array]) -> bytes:
    """The blob of parameters in storage order and states; a state that is not given starts anew."""
    body = b"".join(
        np.asarray(arrays.get(b.name, b.start)).astype(little_endian(b)).tobytes()
        for b in (*program.parameters, *program.states)
    )
    head = (
        MAGIC
        + VERSION.to_bytes(4, "little")
        + program.layout_digest.to_bytes(8, "little")
        + payload_size(program).to_bytes(4, "little")
    )
    blob = head + body
    return blob + zlib.crc32(blob).to_bytes(CRC_BYTES, "little")


def unpack(program: Program, blob: bytes) -> dict[str, Array]:
    """Parameters in storage order, and states; BlobError says what is wrong with the bytes."""
    check(program, blob)
    arrays: dict[str, Array] = {}
    place = HEADER_BYTES
    for p in program.parameters:
        values = np.frombuffer(blob, little_endian(p), p.size, place).reshape(p.shape)
        if int(np.abs(values.astype(np.int64)).max()) > p.proven.magnitude:
            raise BlobError(
                f"weights: {p.name} holds {values.min()}..{values.max()}, beyond the limit "
                f"±{p.proven.magnitude} of {program.name}"
            )
        arrays[p.name] = values.astype(p.dtype)
        place += item_bytes(p) * p.size
    for state in program.states:
        value = np.frombuffer(blob, little_endian(state), 1, place)[0]
        if value > state.proven.high:
            raise BlobError(f"weights: {state.name} is {value}; the limit is {state.proven.high}")
        arrays[state.name] = value.astype(state.dtype)
        place += item_bytes(state)
    return arrays


def check(program: Program, blob: bytes) -> None:
    """BlobError unless blob is a whole blob of this model, checked in the order of <p>_load."""
    size = blob_size(program)
    short = f"weights: {len(blob)} bytes where {program.name} needs {size}; the file is cut short"
    if len(blob) < HEADER_BYTES:
        raise BlobError(short)
    if blob[:4] != MAGIC:
        raise BlobError("weights: not a file of pocketgen weights (it does not start with PKTG)")
    version = int.from_bytes(blob[4:8], "little")
    if version != VERSION:
        raise BlobError(
            f"weights: format version {version}, this pocketgen reads {VERSION}; upgrade pocketgen"
        )
    layout = int.from_bytes(blob[8:16], "little")
    if layout != program.layout_digest or (
        int.from_bytes(blob[16:20], "little") != payload_size(program)
    ):
        raise BlobError(
            f"weights: of another model (layout {layout:016x}; "
            f"{program.name} has {program.layout_digest:016x})"
        )
    if len(blob) < size:
        raise BlobError(short)
    end = size - CRC_BYTES
    if zlib.crc32(blob[:end]) != int.from_bytes(blob[end:size], "little"):
        raise BlobError("weights: damaged, the checksum does not fit; use another copy")
