"""The wheel carries all it needs: used from another folder it generates what the checkout does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pocketgen as pg
from pocketgen.examples import EXAMPLES
from support import repository_root, require

pytestmark = pytest.mark.slow


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """What the command prints; it must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    require(
        os.environ.get("POCKETGEN_REQUIRE_ALL") == "1",
        "building a wheel fetches the build backend; POCKETGEN_REQUIRE_ALL=1 turns it on",
    )
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "-w", ".", str(repository_root)], folder)
    (built,) = folder.glob("pocketgen-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files; what it depends on comes from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--no-deps", "--target", ".", str(wheel)], folder)
    return folder


def test_the_wheel_carries_templates_data_types_and_licence(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for source, there in (("pocketgen", "pocketgen"), ("templates", "pocketgen/templates")):
        for path in (repository_root / source).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(repository_root / source).as_posix()
                assert f"{there}/{name}" in inside
    assert "pocketgen/py.typed" in inside
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    assert not any(name.startswith(("tests/", "templates/")) for name in inside)


def test_the_installed_command_answers(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "bin" / "pocketgen")
    search = {"PYTHONPATH": str(installed)}
    assert "Usage" in run([command, "demo", "--help"], tmp_path, search)
    assert pg.__version__ in run([command, "--version"], tmp_path, search)


def test_the_wheel_generates_what_the_checkout_does(installed: Path, tmp_path: Path) -> None:
    program = (
        "import json, pathlib, sys, pocketgen as pg\n"
        "from pocketgen.examples import EXAMPLES\n"
        "assert pathlib.Path(pg.__file__).is_relative_to(sys.argv[1]), pg.__file__\n"
        "print(json.dumps(pg.generate(EXAMPLES['digits'].model)))\n"
    )
    printed = run(
        [sys.executable, "-c", program, str(installed)],
        tmp_path,
        {"PYTHONPATH": str(installed), "PYTHONIOENCODING": "utf-8"},
    )
    assert json.loads(printed) == pg.generate(EXAMPLES["digits"].model)
