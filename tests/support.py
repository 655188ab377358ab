"""What tests need from the machine they run on: data, compilers, the repository itself.

A missing thing skips the test on a user's machine and fails it where POCKETGEN_REQUIRE_ALL=1
is set, as in `.ci/run`, so that nothing is left out there unseen. Import as
`from support import require` (pyproject.toml puts `tests/` on the path).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

repository_root: Path = Path(__file__).resolve().parents[1]


def require(condition: object, reason: str) -> None:
    """Return when `condition` is true; else skip, or fail where everything is required.

    Works inside a test, inside a fixture and at the top of a test module.
    """
    if condition:
        return
    if os.environ.get("POCKETGEN_REQUIRE_ALL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def data_folder(name: str) -> Path:
    """The folder `name` of POCKETGEN_DATA (`mnist`, `fashion_mnist`: gzip IDX files)."""
    root = os.environ.get("POCKETGEN_DATA")
    require(root, f"POCKETGEN_DATA is not set: no folder {name!r} to read")
    folder = Path(str(root)).expanduser() / name
    require(folder.is_dir(), f"no folder {name!r} in POCKETGEN_DATA ({root})")
    return folder


def compiler(name: str) -> str:
    """The full path of the compiler (or other tool) called `name`."""
    path = shutil.which(name)
    require(path is not None, f"{name} is not installed")
    return str(path)
