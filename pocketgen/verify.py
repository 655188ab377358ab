"""The compiled C against the numpy reference: every buffer after every training step.

In: a model, optionally samples. Out: a frozen ``Verification``.
Not here: printing, and the oracle of the tests, which judges both from outside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import pocketgen
from pocketgen.errors import PocketgenError
from pocketgen.intmath import Int64, mix, ramp, stream_key, wide
from pocketgen.ir import Range
from pocketgen.model import Model
from pocketgen.net import Net

Array = NDArray[Any]

# Streams of random numbers, one for each purpose: base + step.
_INPUT_STREAM = 0x10000000
_ANSWER_STREAM = 0x20000000
_COUNT_STREAM = 0x30000000


@dataclass(frozen=True)
class Mismatch:
    """The first difference: after which step, fed with what, in which buffer, where, and what."""

    step: int
    inputs: str
    buffer: str
    index: tuple[int, ...]
    c: int
    numpy: int


@dataclass(frozen=True)
class Verification:
    """What was compared, and the outcome.

    steps: training steps done, fewer than asked for after a mismatch. samples: over all steps.
    values: integers compared. digest_c, digest_numpy: CRC-32 of the weights at the end.
    """

    model: str
    steps: int
    samples: int
    inputs: tuple[str, ...]
    buffers: tuple[str, ...]
    values: int
    digest_c: int
    digest_numpy: int
    seconds: float
    mismatch: Mismatch | None = None

    @property
    def agrees(self) -> bool:
        """Whether everything was equal to the bit."""
        return self.mismatch is None


def verify(
    model: Model,
    steps: int = 200,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Train both engines side by side and compare all of their memory after every step.

    The batches are random, of the two extreme values only, a ramp of period 251 (swapped blocks
    show), and rows of ``data`` (x, y) if given, in turn; of every size up to the model's batch.
    Labels and targets are random where the data do not give them. After each step the outputs for
    the batch are compared too, at the end the stored blobs.
    progress: called with (steps done, steps).

    Raises PocketgenError for steps < 1, DataError for data that do not fit, CompilerError.
    """
    if isinstance(steps, bool) or steps < 1:
        raise PocketgenError(f"steps is {steps!r}, but must be a whole number of at least 1")
    started = time.perf_counter()
    c, reference = pocketgen.build(model), pocketgen.build(model, engine="numpy")
    batches = _Batches(c, seed, data)
    names = tuple(name for name in c.buffers if name in reference.buffers)
    mismatch: Mismatch | None = None
    done = samples = values = 0
    while done < steps and mismatch is None:
        kind, x, y = batches.make(done)
        c.train_batch(x, y)
        reference.train_batch(x, y)
        done += 1
        samples += len(x)
        for name in names:
            both = _rows(c, name, len(x)), _rows(reference, name, len(x))
            values += both[0].size
            mismatch = mismatch or _difference(done, kind, name, *both)
        outputs = c.forward(x), reference.forward(x)
        values += outputs[0].size
        mismatch = mismatch or _difference(done, kind, "forward()", *outputs)
        if progress is not None:
            progress(done, steps)
    if mismatch is None:
        blobs = [np.frombuffer(net.to_blob(), np.uint8) for net in (c, reference)]
        values += blobs[0].size
        mismatch = _difference(done, "end", "to_blob()", *blobs)
    return Verification(
        model=model.name,
        steps=done,
        samples=samples,
        inputs=batches.kinds,
        buffers=names,
        values=values,
        digest_c=c.digest(),
        digest_numpy=reference.digest(),
        seconds=time.perf_counter() - started,
        mismatch=mismatch,
    )


class _Batches:
    """The batches of a verification: the same for the same seed, on every machine."""

    def __init__(self, net: Net, seed: int, data: tuple[ArrayLike, ArrayLike] | None) -> None:
        self._net = net
        self._seed = seed
        self._data = None if data is None else net.check_pairs(*data)
        self.kinds = ("random", "extreme", "ramp", *(() if data is None else ("data",)))

    def make(self, step: int) -> tuple[str, Array, Array]:
        """Batch number ``step``: kind, x (n, features), y (n,) or (n, outputs)."""
        kind = self.kinds[step % len(self.kinds)]
        size = self._net.batch
        count = size if step % 5 else 1 + int(self._words(_COUNT_STREAM + step, 1)[0]) % size
        if kind == "data" and self._data is not None:
            rows = self._words(_INPUT_STREAM + step, count) % len(self._data[0])
            return kind, self._data[0][rows], self._data[1][rows]
        low, high = self._net.model.input.limits.low, self._net.model.input.limits.high
        shape = (count, self._net.model.input.features)
        words = self._words(_INPUT_STREAM + step, shape[0] * shape[1])
        if kind == "random":
            flat = low + words % (high - low + 1)
        elif kind == "extreme":
            flat = np.where(words % 2 == 0, low, high)
        else:
            flat = low + (ramp(words.size) + step) % min(251, high - low + 1)
        return kind, flat.reshape(shape), self._answers(step, count)

    def _answers(self, step: int, count: int) -> Int64:
        outputs = self._net.model.classes
        if not self._net.regression:
            return self._words(_ANSWER_STREAM + step, count) % outputs
        limits = getattr(self._net.model.rule, "targets", Range(-127, 127))
        words = self._words(_ANSWER_STREAM + step, count * outputs)
        answers: Int64 = limits.low + words % (limits.high - limits.low + 1)
        return answers.reshape(count, outputs)

    def _words(self, stream: int, count: int) -> Int64:
        """Random words 0..2**32 - 1."""
        counter = np.arange(count, dtype=np.uint64) + np.uint64(stream_key(self._seed, stream))
        return wide(mix(counter))


def _rows(net: Net, name: str, count: int) -> Array:
    """A buffer, of those with a row for each sample only the rows of this batch."""
    array = net.buffers[name]
    return array[:count] if net.program.buffers[name].per_sample else array


def _difference(step: int, kind: str, name: str, c: Array, reference: Array) -> Mismatch | None:
    if c.shape != reference.shape:
        raise AssertionError(f"{name}: shape {c.shape} in C, {reference.shape} in numpy")
    where = np.argwhere(c != reference)
    if len(where) == 0:
        return None
    index = tuple(int(i) for i in where[0])
    return Mismatch(step, kind, name, index, int(c[index]), int(reference[index]))
