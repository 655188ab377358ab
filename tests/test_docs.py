"""README and docs/ keep their word: every code block runs, and shown C is generated C."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pocketgen as pg
from pocketgen.examples import EXAMPLES
from support import compiler, repository_root, require

PAGES = [repository_root / "README.md", *sorted((repository_root / "docs").glob("*.md"))]
WARNINGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]


def blocks(page: Path, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    return [text for name, text in fenced if name == language]


def name(page: Path) -> str:
    return page.name


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_blocks_run_one_after_the_other(page: Path, tmp_path: Path) -> None:
    program = "\n".join(blocks(page, "python"))
    result = run([sys.executable, "-c", program], tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_shell_blocks_run(page: Path, tmp_path: Path) -> None:
    script = "\n".join(b for b in blocks(page, "sh") if "pip install" not in b)
    if "make " in script:
        require(shutil.which("make") is not None, "make is not installed")
    result = run(["bash", "-euc", script], tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("number", [0, 1])
def test_the_firmware_page_compiles_and_runs(number: int, tmp_path: Path) -> None:
    gcc = compiler("gcc")
    for file, text in pg.generate(EXAMPLES["sensor"].model).items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    programs = blocks(repository_root / "docs" / "firmware.md", "c")
    assert len(programs) == 2
    (tmp_path / "main.c").write_text(programs[number], encoding="utf-8")
    files = [path.name for path in tmp_path.glob("*.c")]
    built = run([str(gcc), *WARNINGS, "-o", "main", *files], tmp_path)
    assert built.returncode == 0, built.stderr
    assert run(["./main"], tmp_path).returncode == 0


def test_the_readme_shows_generated_c() -> None:
    (excerpt,) = blocks(PAGES[0], "c")
    assert 18 <= excerpt.count("\n") <= 40
    generated = (repository_root / "generated/sensor/sensor_train.c").read_text(encoding="utf-8")
    assert excerpt in generated


def test_the_readme_picture_names_files_that_exist() -> None:
    picture = next(block for block in blocks(PAGES[0], "") if "lower" in block)
    names = re.findall(r"[a-z_]+(?:\.py|/)", picture)
    assert len(names) >= 14
    for file in names:
        home = repository_root if file == "templates/" else repository_root / "pocketgen"
        assert (home / file).exists(), file
