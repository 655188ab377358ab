"""A network that a user holds: trains, predicts, saves; the same on both engines.

In: a model, and numpy arrays that are checked here. Out: results in numpy, weights as the blob that
devices load. Not here: epochs and progress (fit), arithmetic (the engines).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from pocketgen.errors import BlobError, DataError, ModelError, OutputError
from pocketgen.health import Health, health
from pocketgen.host import Engine
from pocketgen.intmath import first_maximum, is_whole, wide
from pocketgen.ir import Array, Buffer, Program
from pocketgen.lower import Weights, stored
from pocketgen.model import Model, array_of
from pocketgen.plan import Plan
from pocketgen.reference import Reference
from pocketgen.store import pack, unpack

EngineName = Literal["c", "numpy"]


class Net:
    """A model at work. Made by pocketgen.build."""

    def __init__(
        self, model: Model, program: Program, plan: Plan, engine: EngineName, flags: Any = None
    ) -> None:
        if engine not in ("c", "numpy"):
            raise ModelError(f"engine is {engine!r}; give 'c' or 'numpy'")
        self.model = model
        self.program = program
        self.plan = plan
        self.engine: EngineName = engine
        self._engine = Engine(program, plan, flags) if engine == "c" else Reference(program)
        self.init()

    @property
    def batch(self) -> int:
        """How many samples train_batch takes at most."""
        return self.program.batch

    @property
    def regression(self) -> bool:
        """Whether samples come with target vectors instead of labels."""
        return self.model.rule.expects != "label"

    def init(self, seed: int | None = None) -> None:
        """Start anew: the model's own initial weights, whatever build was given; the full rate.

        seed: of random weights, by default the model's.
        """
        chosen = self.model.seed if seed is None else seed
        if not (is_whole(chosen) and 0 <= chosen < 2**32):
            raise ModelError(f"seed is {chosen!r}; the range is 0..{2**32 - 1}")
        self._engine.init(int(chosen))

    def train_batch(self, x: ArrayLike, y: ArrayLike) -> None:
        """One update from 1..batch samples; y: labels (n,), or targets (n, outputs).

        Raises DataError for data that does not belong to the model; nothing is changed then.
        """
        self.check_training()
        samples, wanted = self.check_pairs(x, y)
        if not 1 <= len(samples) <= self.batch:
            raise DataError(f"{len(samples)} samples; a batch of this model takes 1..{self.batch}")
        self._engine.train_batch(samples, wanted)

    def train_samples(self, x: ArrayLike, y: ArrayLike, order: ArrayLike) -> tuple[int, int]:
        """Train on rows x[order], batch by batch: (sum of losses, hits before each update)."""
        self.check_training()
        samples, wanted = self.check_pairs(x, y)
        rows = array_of(order, "order")
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise DataError(
                f"order has shape {rows.shape} and dtype {rows.dtype}; give row numbers"
            )
        if rows.size and (rows.min() < 0 or rows.max() >= len(samples)):
            raise DataError(
                f"order holds {rows.min()}..{rows.max()}; there are rows 0..{len(samples) - 1}"
            )
        return self._engine.train_samples(samples, wanted, rows)

    def forward(self, x: ArrayLike) -> Array:
        """The output layer's integers, (n, outputs)."""
        samples = self.check_samples(x)
        if isinstance(self._engine, Engine):
            return self._engine.forward(samples)
        rows = self.program.batch
        parts = [self._engine.forward(samples[k : k + rows]) for k in range(0, len(samples), rows)]
        return np.concatenate(parts)

    def predict(self, x: ArrayLike) -> Array:
        """Labels (n,): the first largest output; for regression the outputs themselves."""
        output = self.forward(x)
        return output if self.regression else first_maximum(output).astype(np.uint16)

    def evaluate(self, x: ArrayLike, y: ArrayLike) -> dict[str, float]:
        """How well the network does on samples that it does not learn from.

        Classes: samples, hits, accuracy, loss (mean of the sum of e * e / 2). Regression: samples,
        mse, mae, loss.
        """
        samples, wanted = self.check_pairs(x, y)
        output = wide(self.forward(samples))
        count = len(samples)
        if self.regression:
            error = output - wide(wanted)
            return {
                "samples": count,
                "mse": float((error * error).mean(dtype=np.float64)),
                "mae": float(np.abs(error).mean()),
                "loss": float((error * error >> 1).sum(dtype=np.float64) / count),
            }
        hits = int((first_maximum(output) == wide(wanted)).sum())
        fan_in, _ = self.model.layers[-1].fans(self.model.in_shapes[-1])
        error = self.model.rule.errors(output, wanted, fan_in)
        return {
            "samples": count,
            "hits": hits,
            "accuracy": hits / count,
            "loss": float((error * error >> 1).sum(dtype=np.float64) / count),
        }

    def fit(self, x: ArrayLike, y: ArrayLike, epochs: int = 1, **options: Any) -> Any:
        """Train for some epochs; see pocketgen.fit.fit for the options and the history."""
        from pocketgen.fit import fit

        self.check_training()
        return fit(self, x, y, epochs, **options)

    def health(self, x: ArrayLike, y: ArrayLike) -> Health:
        """Flat and dead units, and weights that a batch does not move; see pocketgen.health.

        Weights, biases and states are afterwards what they were. DataError for data that does not
        belong to the model.
        """
        self.check_training()
        samples, wanted = array_of(x, "input"), array_of(y, "labels")
        if samples.shape[:1] in ((), (0,)) or samples.shape[:1] != wanted.shape[:1]:
            self.check_pairs(samples, wanted)  # says in words what is wrong
        return health(self, samples, wanted)

    @property
    def buffers(self) -> Mapping[str, Array]:
        """Every array of the network by name (W1, b1, h1, a1, g1, delta1, R1, e, …), batch first.

        Views of the engine's own memory (constants such as R1 are copies); W as (fan_in, fan_out).
        """
        return MappingProxyType(
            {
                name: array.transpose(self.program.buffers[name].axes)
                if self.program.buffers[name].axes
                else array
                for name, array in self._engine.arrays.items()
                if array.ndim and visible(self.program.buffers[name])
            }
        )

    @property
    def lr_shift(self) -> int:
        """How often the learning rate was halved: it is 1 / (lr_inv * 2**lr_shift)."""
        self.check_rate("lr_shift")
        return int(self._engine.arrays["lr_shift"]) if self.program.training else 0

    @lr_shift.setter
    def lr_shift(self, value: int) -> None:
        """Set it, 0..15; ModelError for another value."""
        self.check_training()
        self.check_rate("lr_shift")
        self.set_rate(value)

    @property
    def rate(self) -> int:
        """The learning rate, in 1 / 2**rate_shift, of a rule with a rate."""
        self.check_rate("rate")
        return int(self._engine.arrays["rate"]) if self.program.training else 0

    @rate.setter
    def rate(self, value: int) -> None:
        """Set it, 0..the rule's own rate; ModelError for another value."""
        self.check_training()
        self.check_rate("rate")
        self.set_rate(value)

    def set_rate(self, value: int) -> None:
        """Set what the rule's learning rate depends on; ModelError for a value out of range."""
        name = self.model.rule.rate_state
        limit = next(s for s in self.program.states if s.name == name).proven.high
        if not (is_whole(value) and 0 <= value <= limit):
            raise ModelError(f"{name} is {value!r}; the range is 0..{limit}")
        self._engine.arrays[name][...] = value

    def check_rate(self, name: str) -> None:
        """ModelError for a rule whose learning rate is set otherwise."""
        known = self.model.rule.rate_state
        if known != name:
            raise ModelError(
                f"model {self.program.name}: its rule has no {name}; its learning rate is set by "
                f"{known}"
            )

    @property
    def lr_inv(self) -> int:
        """The inverse learning rate now in force, rounded down."""
        state = self.model.rule.rate_state
        return self.model.rule.lr_inv_of(int(self._engine.arrays[state]))

    def weights(self) -> dict[str, Array]:
        """Copies of W1 (fan_in, fan_out), b1, W2, …"""
        buffers = self.buffers
        return {p.name: buffers[p.name].copy() for p in self.program.parameters}

    def feedback(self) -> dict[str, Array]:
        """Copies of the stored feedback matrices R1 (classes, units), …"""
        return {b.name: self._engine.arrays[b.name].copy() for b in self.program.feedback}

    def set_weights(self, weights: Weights) -> None:
        """Replace all weights and biases; DataError where they do not fit or break a clamp."""
        self.check_training()
        given = stored(self.program.parameters, weights, "weights")
        for p in self.program.parameters:
            values, limit = given[p.name], p.proven.magnitude
            if int(np.abs(wide(values)).max()) > limit:
                raise DataError(
                    f"weights: {p.name} holds {values.min()}..{values.max()}, but overflow is "
                    f"excluded only within ±{limit}; give smaller weights"
                )
        for name, values in given.items():
            self._engine.arrays[name][...] = values

    def kept(self) -> dict[str, Array]:
        """Copies of all that outlives a batch, as a blob holds it: W1, b1, …, and the states."""
        stored_arrays = (*self.program.parameters, *self.program.states)
        return {b.name: self._engine.arrays[b.name].copy() for b in stored_arrays}

    def put_back(self, kept: Mapping[str, Array]) -> None:
        """Make all that outlives a batch what ``kept`` said."""
        for name, values in kept.items():
            self._engine.arrays[name][...] = values

    def to_blob(self) -> bytes:
        """The weights as the blob that the generated C saves and loads."""
        if isinstance(self._engine, Engine) and self.program.training:
            return self._engine.save()
        if not self.program.training and self.model.fraction > 1:
            raise ModelError(
                f"model {self.program.name} only predicts and holds only the forward weights; save "
                "the network that was trained"
            )
        return pack(self.program, self._engine.arrays)

    def from_blob(self, blob: bytes) -> None:
        """Take over a blob's weights; BlobError says what is wrong, and then nothing changed."""
        self.check_training()
        if isinstance(self._engine, Engine):
            self._engine.load(bytes(blob))
            return
        for name, values in unpack(self.program, blob).items():
            self._engine.arrays[name][...] = values

    def save(self, path: str | Path) -> None:
        """Write the blob to a file; OutputError where that is not possible."""
        try:
            Path(path).write_bytes(self.to_blob())
        except OSError as error:
            raise OutputError(f"weights: cannot write {path}: {error.strerror}") from None

    def load(self, path: str | Path) -> None:
        """Read a blob from a file; BlobError where that is not possible."""
        self.from_blob(read_blob(path))

    def clamped(self) -> dict[str, int]:
        """How many values of W1, b1, … now stand at their clamp, where learning is held back."""
        return {
            p.name: int((np.abs(wide(self._engine.arrays[p.name])) == p.proven.magnitude).sum())
            for p in self.program.parameters
        }

    def digest(self) -> int:
        """CRC-32 of the weights, the same on every machine."""
        return self._engine.digest()

    def check_training(self) -> None:
        """ModelError for a network that only predicts: its weights are constants."""
        if not self.program.training:
            raise ModelError(
                f"model {self.program.name} only predicts, its weights are constants; "
                "build it without inference_only to change them"
            )

    def check_samples(self, x: ArrayLike) -> Array:
        """x as (n, features) of the input's type; DataError for another shape, dtype or range."""
        data, spec = array_of(x, "input"), self.model.input
        if data.dtype.kind == "f" and not np.isfinite(data).all():
            raise DataError("input: holds NaN or infinity; clean the data first")
        if data.dtype.kind not in "iu":
            raise DataError(
                f"input: dtype is {data.dtype}, the model takes {spec.dtype}; "
                "convert it, for instance with pocketgen.datasets.quantize"
            )
        shape = tuple(data.shape[1:])
        if data.ndim < 2 or (shape != spec.shape and shape != (spec.features,)):
            wanted = " x ".join(["n", *(str(n) for n in spec.shape)])
            raise DataError(f"input: shape is {data.shape}, the model takes {wanted}")
        if len(data) == 0:
            raise DataError("input: no samples")
        low, high = spec.limits.low, spec.limits.high
        if data.min() < low or data.max() > high:
            raise DataError(
                f"input: values {data.min()}..{data.max()}, the model takes {low}..{high}; "
                "scale the data or give Input another range"
            )
        return np.ascontiguousarray(data.reshape(len(data), -1), dtype=spec.dtype)

    def check_pairs(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Samples with their labels or targets, both checked."""
        samples = self.check_samples(x)
        wanted = self.check_targets(y) if self.regression else self.check_labels(y)
        if len(samples) != len(wanted):
            raise DataError(f"{len(samples)} samples but {len(wanted)} labels or targets")
        return samples, wanted

    def check_labels(self, y: ArrayLike) -> Array:
        """Labels as uint16 (n,); DataError for another shape, dtype or range."""
        labels = array_of(y, "labels")
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise DataError(
                f"labels: shape {labels.shape} and dtype {labels.dtype}; give integers (n,)"
            )
        if labels.size and (labels.min() < 0 or labels.max() >= self.program.classes):
            raise DataError(
                f"labels: {labels.min()}..{labels.max()}, the model has {self.program.classes} "
                f"outputs, so labels are 0..{self.program.classes - 1}"
            )
        return labels.astype(np.uint16)

    def check_targets(self, y: ArrayLike) -> Array:
        """Targets (n, outputs); DataError for another shape, dtype or range."""
        targets = array_of(y, "targets")
        if targets.ndim == 1 and self.program.classes == 1:
            targets = targets[:, np.newaxis]
        if targets.dtype.kind not in "iu":
            raise DataError(f"targets: dtype is {targets.dtype}; give integers")
        if targets.ndim != 2 or targets.shape[1] != self.program.classes:
            raise DataError(
                f"targets: shape is {targets.shape}, the model takes n x {self.program.classes}"
            )
        # What the rule declares; an inference-only program has no buffer for targets.
        limit = getattr(self.model.rule, "targets", None)
        if limit and targets.size and (targets.min() < limit.low or targets.max() > limit.high):
            raise DataError(
                f"targets: {targets.min()}..{targets.max()}, the rule takes "
                f"{limit.low}..{limit.high}; scale them or give target_range"
            )
        return targets.astype(np.int16)


def visible(buffer: Buffer) -> bool:
    """Whether users see a buffer: no tables, and no scratch that does not outlive its step."""
    return buffer.role != "table" and (buffer.kept or not buffer.per_sample)


def read_blob(path: str | Path) -> bytes:
    """The bytes of a file of weights; BlobError where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BlobError(f"weights: cannot read {path}: {error.strerror}") from None
