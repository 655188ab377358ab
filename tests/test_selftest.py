"""The generated self-test looks at every number that it holds, and tells which vector differs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from cffi import FFI

from pocketgen.host import compiler
from small_models import LIBRARIES


@pytest.mark.parametrize(
    "name", ["dfa, given", "regression, own", "vector, given", "features, inference only"]
)
def test_every_expected_number_matters(name: str, tmp_path: Path) -> None:
    library = LIBRARIES[name]
    prefix = library.model.name
    files = {file: text for file, text in library.files().items() if "/" not in file}
    table = r"static const (\w+ \w+_expected_\w+\[\d+\]) \w+"
    text = files[f"{prefix}_selftest.c"]
    tables = re.findall(table, text)
    files[f"{prefix}_selftest.c"] = re.sub(table, r"\1", text)  # to be changed from here
    for file, content in files.items():
        (tmp_path / file).write_text(content, "utf-8")
    sources = [file for file in files if file.endswith(".c")]
    command = [*compiler(), "-std=c99", "-fPIC", "-shared", "-o", "all.so", *sources]
    subprocess.run(command, cwd=tmp_path, check=True)
    ffi = FFI()
    ffi.cdef(f"int {prefix}_selftest(void *net);" + "".join(f"extern {one};" for one in tables))
    loaded = ffi.dlopen(str(tmp_path / "all.so"))
    net = ffi.new("int64_t[]", 2**16)
    self_test = getattr(loaded, f"{prefix}_selftest")

    found = {}
    assert self_test(net) == 0
    for declaration in tables:
        name = re.split(r"[ \[]", declaration)[1]
        numbers = getattr(loaded, name)
        for k in range(len(numbers)):
            numbers[k] ^= 1
            found[name, k] = self_test(net)
            numbers[k] ^= 1
    assert self_test(net) == 0
    assert found
    rows = library.program().classes  # outputs of one vector
    vectors = {(name, k // (rows if "output" in name else 1)) for name, k in found}
    # Number 1 is the start; every vector has a number of its own.
    assert sorted(set(found.values())) == list(range(2, 2 + len(vectors)))
