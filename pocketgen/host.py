"""Compile generated C for this machine, load it, and drive it.

In: a Program and its files. Out: an Engine with the interface of the reference.
The C is the very text that ships; one file beside it loops over many samples. Compiled libraries
are cached by a digest of everything that goes into them.
Not here: what users see (net), other machines (targets).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI

from pocketgen.errors import BlobError, CompilerError
from pocketgen.ir import ARGUMENT_ROLES, Array, Buffer, Program
from pocketgen.plan import Plan, is_constant, locate
from pocketgen.render import render, render_host
from pocketgen.store import blob_size, unpack

X86 = platform.machine().lower() in ("x86_64", "amd64")
# Compilers avoid the widest vectors by default; these loops gain by them (1.4 times, measured).
FLAGS = ("-O3", "-march=native", *(("-mprefer-vector-width=512",) if X86 else ()))
ALWAYS = ("-std=c99", "-fPIC", "-shared")


class Engine:
    """One instance of a compiled program; the C twin of reference.Reference."""

    def __init__(self, program: Program, plan: Plan, flags: Sequence[str] | None = None) -> None:
        self.program = program
        self.ffi, self.library = load(plan, tuple(FLAGS if flags is None else flags))
        self.prefix = program.name
        self.net = self.ffi.new(f"{self.prefix}_t *")
        self.arrays = {
            b.name: self.view(b)
            for b in program.buffers.values()
            if b.role not in ARGUMENT_ROLES and (b.kept or not b.per_sample)
        }

    def view(self, buffer: Buffer) -> Array:
        """A numpy view of a struct member, or a copy of a constant."""
        if is_constant(buffer):
            assert buffer.values is not None
            return buffer.values.astype(buffer.dtype)
        member = locate(self.program).member[buffer.name]
        start = int(self.ffi.offsetof(f"{self.prefix}_t", member))
        dtype = np.dtype(buffer.dtype)
        shape = (self.program.batch, *buffer.shape) if buffer.per_sample else buffer.shape
        memory = self.ffi.buffer(self.net)
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(memory, dtype, count, start).reshape(shape)

    def function(self, name: str) -> Any:
        """A C function of the model."""
        return getattr(self.library, f"{self.prefix}_{name}")

    def pointer(self, array: Array, type_name: str) -> Any:
        """A C pointer to a contiguous array."""
        return self.ffi.cast(f"{type_name} *", self.ffi.from_buffer(array))

    def init(self, seed: int) -> None:
        """p_init."""
        self.function("init")(self.net, seed)

    def forward(self, x: Array) -> Array:
        """The outputs of any number of samples."""
        output = self.program.buffers[self.program.output]
        result = np.empty((len(x), output.size), dtype=output.dtype)
        samples = self.samples(x)
        self.function("host_forward")(
            self.net,
            self.pointer(samples, f"{self.prefix}_input_t"),
            len(x),
            self.pointer(result, f"{self.prefix}_output_t"),
        )
        return result

    def samples(self, x: Array) -> Array:
        """Raw samples as the C takes them."""
        return np.ascontiguousarray(x, dtype=self.program.buffers[self.program.input].dtype)

    def wanted(self, y: Array) -> tuple[Array, str]:
        """Labels or targets as the C takes them, and their C type."""
        if self.program.expects == "label":
            return np.ascontiguousarray(y, dtype=np.uint16), "uint16_t"
        dtype = self.program.buffers["y"].dtype
        return np.ascontiguousarray(y, dtype=dtype), f"{self.prefix}_target_t"

    def train_batch(self, x: Array, y: Array) -> None:
        """p_train_batch."""
        samples = self.samples(x)
        wanted, kind = self.wanted(y)
        status = self.function("train_batch")(
            self.net,
            self.pointer(samples, f"{self.prefix}_input_t"),
            self.pointer(wanted, kind),
            len(x),
        )
        assert status == 0, f"{self.prefix}_train_batch returned {status}"

    def train_samples(self, x: Array, y: Array, order: Array) -> tuple[int, int]:
        """Train on the rows x[order], batch by batch, in one call of compiled code."""
        samples = self.samples(x)
        wanted, kind = self.wanted(y)
        rows = np.ascontiguousarray(order, dtype=np.uint32)
        totals = np.zeros(2, dtype=np.int64)
        batch = self.program.batch
        sample_rows = np.empty((batch, *samples.shape[1:]), dtype=samples.dtype)
        wanted_rows = np.empty((batch, *wanted.shape[1:]), dtype=wanted.dtype)
        status = self.function("host_train")(
            self.net,
            self.pointer(samples, f"{self.prefix}_input_t"),
            self.pointer(wanted, kind),
            self.pointer(rows, "uint32_t"),
            len(rows),
            self.pointer(sample_rows, f"{self.prefix}_input_t"),
            self.pointer(wanted_rows, kind),
            self.pointer(totals, "int64_t"),
        )
        assert status == 0, f"{self.prefix}_host_train returned {status}"
        return int(totals[0]), int(totals[1])

    def digest(self) -> int:
        """p_digest."""
        return int(self.function("digest")(self.net))

    def selftest(self) -> int:
        """p_selftest: 0, or the number of the first failing vector. The weights start anew."""
        return int(self.function("selftest")(self.net))

    def save(self) -> bytes:
        """p_save."""
        size = blob_size(self.program)
        blob = self.ffi.new("uint8_t[]", size)
        assert self.function("save")(self.net, blob, size) == size
        return bytes(self.ffi.buffer(blob, size))

    def load(self, blob: bytes) -> None:
        """p_load; BlobError where it refuses the bytes."""
        status = self.function("load")(self.net, blob, len(blob))
        if status != 0:
            unpack(self.program, blob)  # says in words what the C says in a number
            raise BlobError(f"weights: {self.prefix}_load returned {status}")


def compiler() -> list[str]:
    """The C compiler's command: $CC, else cc, gcc or clang; CompilerError where there is none."""
    asked = os.environ.get("CC", "").strip()
    if asked:
        command = shlex.split(asked)
        if shutil.which(command[0]) is None:
            raise CompilerError(
                f"no C compiler: CC is {asked!r}, which is not on the PATH; correct or unset CC"
            )
        return command
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise CompilerError(
        "no C compiler: none of cc, gcc, clang is on the PATH; install one "
        "(Debian: apt-get install gcc) or set CC, or use engine='numpy'"
    )


def load(plan: Plan, flags: tuple[str, ...]) -> tuple[FFI, Any]:
    """The compiled library of a plan, from the cache where it was compiled before."""
    files, host = render(plan), render_host(plan)
    declarations = host.pop("host.cdef")
    sources = {**files, **host}
    command = [*compiler(), *ALWAYS, *flags]
    path = cache_folder() / f"{plan.prefix}-{fingerprint(command, sources)}.so"
    if not path.exists():
        compile_library(command, sources, path)
    ffi = FFI()
    ffi.cdef(declarations)
    return ffi, ffi.dlopen(str(path))


def fingerprint(command: Sequence[str], sources: Mapping[str, str]) -> str:
    """Everything that decides the compiled bytes: sources, compiler and its version, flags, CPU."""
    digest = hashlib.sha256()
    digest.update(repr((tuple(command), compiler_version(command[0]), processor())).encode())
    for name in sorted(sources):
        digest.update(f"{name}\0{sources[name]}\0".encode())
    return digest.hexdigest()[:24]


def compiler_version(program: str) -> str:
    """What the compiler says of itself."""
    result = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return result.stdout


def processor() -> str:
    """The machine's processor and its features, on which -march=native depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = [line for line in lines if line.startswith(("flags", "Features"))][:1]
    except OSError:
        features = []
    return " ".join([platform.machine(), platform.processor(), *features])


def cache_folder() -> Path:
    """Where compiled libraries are kept: $POCKETGEN_CACHE, else the user's cache folder."""
    asked = os.environ.get("POCKETGEN_CACHE")
    if asked:
        base = Path(asked)
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pocketgen"
    folder = base / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="pocketgen-"))


def compile_library(command: Sequence[str], sources: Mapping[str, str], path: Path) -> None:
    """Compile the C files among sources to path; CompilerError with the compiler's own words."""
    with tempfile.TemporaryDirectory(prefix="pocketgen-") as folder:
        for name, text in sources.items():
            file = Path(folder, name)
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        units = sorted(n for n in sources if n.endswith(".c") and "/" not in n)
        built = Path(folder, "library.so")
        try:
            result = subprocess.run(
                [*command, "-o", str(built), *units],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise CompilerError(f"the C compiler cannot be run: {error}") from None
        if result.returncode != 0:
            raise CompilerError(
                f"the C compiler failed ({shlex.join(command)}): {result.stderr.strip()}"
            )
        # Under its own name first: another process may be compiling the same library.
        part = path.with_suffix(f".{os.getpid()}.part")
        shutil.copy(built, part)
        part.replace(path)
