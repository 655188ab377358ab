"""The command line, as its users meet it: every command, and every mistake in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import pocketgen as pg
from pocketgen import output
from pocketgen.cli import main
from pocketgen.cli.terminal import most_clamped
from pocketgen.examples import EXAMPLES
from pocketgen.fit import Epoch, History, fit
from support import compiler, repository_root

MODEL = """\
import pocketgen as pg

model = pg.Model("tiny", pg.Input((4,), "uint8"), [pg.Dense(6), pg.Dense(3)], pg.DFA(batch=4))
"""
TRAINED = ["confusion.png", "history.json", "learning_curve.png", "weights.pkt"]


def run(*words: object, **environment: str) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(*words: object, **environment: str) -> str:
    """What a command that succeeds prints on stdout."""
    result = run(*words, **environment)
    assert result.exit_code == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Runs a command that must end in status 2 and one line, with nothing printed or written."""

    def check(*words: object, **environment: str) -> str:
        before = snapshot(tmp_path)
        result = run(*words, **environment)
        assert result.exit_code == 2, (result.stdout, result.stderr)
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("pocketgen: ")
        after = snapshot(tmp_path)
        assert after == before
        return lines[0]

    return check


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.py"
    path.write_text(MODEL)
    return path


def samples(count: int = 60) -> tuple[Any, Any]:
    """Three classes by which of the first three features is the largest."""
    x = (np.arange(count * 4).reshape(count, 4) * 7919 % 251).astype(np.uint8)
    return x, x[:, :3].argmax(axis=1).astype(np.uint8)


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    x, y = samples()
    path = tmp_path / "data.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    return path


@pytest.fixture
def trained(tmp_path: Path, model_file: Path, data_file: Path) -> Path:
    """A folder that `train --out` wrote for the tiny model."""
    done("train", model_file, "--data", data_file, "--epochs", 2, "--out", tmp_path / "run")
    return tmp_path / "run"


# --- the group ------------------------------------------------------------------------------------


def test_without_a_command_the_help_is_shown() -> None:
    text = done()
    assert "Usage: pocketgen" in text or "Usage: main" in text
    for name in ("demo", "examples", "generate", "train", "evaluate", "verify", "check"):
        assert f"\n  {name} " in text


def test_version() -> None:
    assert done("--version") == f"pocketgen {pg.__version__}\n"


@pytest.mark.parametrize("name", list(main.commands))
def test_every_command_has_help_with_an_example_and_json(name: str) -> None:
    text = done(name, "--help")
    assert "--json" in text
    assert "Example" in text
    assert f"pocketgen {name}" in text


def test_the_module_runs_as_a_program() -> None:
    called = [sys.executable, "-m", "pocketgen", "--version"]
    result = subprocess.run(called, capture_output=True, text=True, cwd=repository_root, check=True)
    assert result.stdout == f"pocketgen {pg.__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "digits"], "did you mean 'train'?"),
        (["zzz"], "there are demo, examples"),
        (["train", "digts"], "did you mean 'digits'?"),
        (["train", "zzz"], "there are xor, digits"),
        (["generate", "xor"], "Missing option"),
        (["train"], "Missing argument 'MODEL'"),
        (["train", "xor", "--epochs", "0"], "--epochs"),
        (["train", "xor", "--epochs", "many"], "--epochs"),
        (["train", "xor", "--validation", "1"], "--validation"),
        (["train", "xor", "--seed", "-1"], "--seed"),
        (["train", "xor", "--engine", "gpu"], "--engine"),
        (["train", "xor", "--no-such"], "--no-such"),
        (["train", "xor", "--patience", "3"], "--patience needs --validation"),
        (["verify", "xor", "--steps", "0"], "--steps"),
        (["check", "extra"], "extra"),
    ],
)
def test_wrong_words_are_refused(refused: Refused, words: list[str], said: str) -> None:
    assert said in refused(*words)


# --- MODEL ----------------------------------------------------------------------------------------


def test_an_example_may_be_written_with_a_hyphen(tmp_path: Path) -> None:
    done("generate", "fashion-mnist", "-o", tmp_path / "c")
    assert (tmp_path / "c" / "fashion_mnist.h").is_file()


def test_a_model_file_may_import_its_neighbours_and_print(tmp_path: Path) -> None:
    (tmp_path / "widths.py").write_text("HIDDEN = 5\n")
    path = tmp_path / "neighbour.py"
    path.write_text(
        "import pocketgen as pg\nfrom widths import HIDDEN\nprint('noise')\n"
        "model = pg.Model('n', pg.Input((4,)), [pg.Dense(HIDDEN), pg.Dense(2)], pg.DFA())\n"
        "if __name__ == '__main__':\n    raise RuntimeError('trains')\n"
    )
    result = run("generate", path, "-o", tmp_path / "c", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["model"] == "n"
    assert "noise" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "has no 'model'"),
        ("model = 3\n", "of type int"),
        ("import pocketgen\n\nmodel = missing\n", "line 3: NameError: name 'missing' is not def"),
        ("model = (\n", "line 1: SyntaxError"),
        ("raise SystemExit(3)\n", "exits (3)"),
        ("raise ValueError('first\\nlast')\n", "line 1: ValueError: last"),
        ("def f():\n    raise KeyError\n\n\nf()\n", "line 2: KeyError"),
        (MODEL.replace("Dense(6)", "Dense(6, 'relu')"), "line 3: ModelError"),
        (MODEL.replace("pg.Dense(6)", "'Dense'"), "unknown layer"),
        (MODEL.replace("Dense(6)", "Dense(0)"), "line 3: ModelError"),
        (MODEL.replace("Dense(6)", "Dense(-2)"), "-2"),
        (MODEL.replace("(4,)", "(0,)"), "ModelError"),
        (MODEL.replace("batch=4", "batch=0"), "batch"),
        (MODEL.replace('"tiny"', '"int"'), "word of C"),
        (MODEL.replace('"tiny"', '"2tiny"'), "'2tiny'"),
        (MODEL.replace('"tiny"', '"ti ny"'), "'ti ny'"),
    ],
)
def test_a_wrong_model_file_is_refused(
    refused: Refused, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(text)
    line = refused("generate", path, "-o", tmp_path / "out")
    assert said in line
    assert "wrong.py" in line


def test_a_missing_model_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    assert "does not exist" in refused("train", tmp_path / "none.py")
    assert "is a folder" in refused("train", tmp_path)


def test_a_model_that_cannot_be_proven_safe_is_refused(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "unsafe.py"
    path.write_text(
        "import pocketgen as pg\nmodel = pg.Model('m', pg.Input((65535,), 'uint16'), "
        "[pg.Dense(2)], pg.DFA())\n"
    )
    assert "layer 1" in refused("generate", path, "-o", tmp_path / "out")


# --- examples, generate ---------------------------------------------------------------------------


def test_examples() -> None:
    text = done("examples")
    listed = json.loads(done("examples", "--json"))
    assert [row["name"] for row in listed] == list(EXAMPLES)
    assert all(row["name"] in text and row["network"] in text for row in listed)
    assert listed[0]["network"] == "2-8-2"


def test_generate_writes_what_python_generates(tmp_path: Path, model_file: Path) -> None:
    folder = tmp_path / "c"
    told = json.loads(done("generate", model_file, "-o", folder, "--json"))
    layers = [pg.Dense(6), pg.Dense(3)]
    model = pg.Model("tiny", pg.Input((4,), "uint8"), layers, pg.DFA(batch=4))
    files = pg.generate(model)
    assert sorted(told["written"]) == sorted(files)
    assert output.differences(folder, files, owner="tiny") == ()
    again = json.loads(done("generate", model_file, "-o", folder, "--json"))
    assert again["written"] == []
    assert "unchanged" in done("generate", model_file, "-o", folder)


def test_generate_with_weights_and_for_inference_only(
    tmp_path: Path, model_file: Path, trained: Path
) -> None:
    weights = trained / "weights.pkt"
    done("generate", model_file, "-o", tmp_path / "t", "--weights", weights)
    assert (tmp_path / "t" / "tiny_weights.c").is_file()
    assert (tmp_path / "t" / "tiny_train.c").is_file()
    done("generate", model_file, "-o", tmp_path / "i", "--weights", weights, "--inference-only")
    assert (tmp_path / "i" / "tiny_weights.c").is_file()
    assert not (tmp_path / "i" / "tiny_train.c").exists()


def test_a_change_to_inference_only_removes_the_training_files(
    tmp_path: Path, model_file: Path, trained: Path
) -> None:
    weights = trained / "weights.pkt"
    done("generate", model_file, "-o", tmp_path / "c", "--weights", weights)
    text = done(
        "generate", model_file, "-o", tmp_path / "c", "--weights", weights, "--inference-only"
    )
    assert "removed" in text
    assert not (tmp_path / "c" / "tiny_train.c").exists()


def test_inference_only_needs_weights(refused: Refused, model_file: Path, tmp_path: Path) -> None:
    line = refused("generate", model_file, "-o", tmp_path / "c", "--inference-only")
    assert "--weights" in line


def test_an_edited_folder_is_kept_without_force(
    refused: Refused, tmp_path: Path, model_file: Path
) -> None:
    folder = tmp_path / "c"
    done("generate", model_file, "-o", folder)
    (folder / "tiny.c").write_text("mine")
    assert "edited by hand (tiny.c)" in refused("generate", model_file, "-o", folder)
    done("generate", model_file, "-o", folder, "--force")
    assert (folder / "tiny.c").read_text() != "mine"


def test_another_models_folder_is_kept(refused: Refused, tmp_path: Path, model_file: Path) -> None:
    done("generate", model_file, "-o", tmp_path / "c")
    assert "'tiny'" in refused("generate", "xor", "-o", tmp_path / "c")


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "xor", "-o"],
        ["train", "xor", "--epochs", "1", "--out"],
        ["demo", "--out"],
        ["check", "--write", "--dir"],
    ],
)
def test_an_output_folder_that_is_a_file_is_refused(
    refused: Refused, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "out").write_text("mine")
    assert "is a file" in refused(*words, tmp_path / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self is read-only for everybody")
@pytest.mark.parametrize(
    "words", [["generate", "xor", "-o"], ["train", "xor", "--out"], ["demo", "--out"]]
)
def test_an_output_folder_that_cannot_be_written_is_refused(
    refused: Refused, words: list[str]
) -> None:
    line = refused(*words, "/proc/self/out")
    assert "cannot be written" in line or "not writable" in line


# --- train, evaluate ------------------------------------------------------------------------------


def test_train_writes_weights_history_and_pictures(
    tmp_path: Path, model_file: Path, data_file: Path
) -> None:
    folder = tmp_path / "run"
    words = ["train", model_file, "--data", data_file, "--epochs", 3, "--out", folder]
    told = json.loads(done(*words, "--json"))
    assert told["files"] == TRAINED
    assert [row["epoch"] for row in told["history"]["epochs"]] == [1, 2, 3]
    assert told["test"]["samples"] == 20
    assert sum(map(sum, told["confusion"])) == 20
    kept = json.loads((folder / "history.json").read_text())
    assert kept["epochs"] == told["history"]["epochs"]
    for picture in ("learning_curve.png", "confusion.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    assert (folder / "weights.pkt").read_bytes().startswith(b"PKTG")


def test_training_is_the_same_in_c_numpy_and_python(
    tmp_path: Path, model_file: Path, data_file: Path
) -> None:
    words = ["train", model_file, "--data", data_file, "--epochs", 2, "--seed", 9, "--json"]
    told = [json.loads(done(*words, "--engine", engine)) for engine in ("c", "numpy")]
    layers = [pg.Dense(6), pg.Dense(3)]
    model = pg.Model("tiny", pg.Input((4,), "uint8"), layers, pg.DFA(batch=4))
    net = pg.build(model, engine="numpy")
    net.init(9)
    net.fit(*samples(), epochs=2, shuffle_seed=9)
    assert {t["digest"] for t in told} == {f"{net.digest():08x}"}


def test_train_says_what_happens_in_plain_lines(model_file: Path, data_file: Path) -> None:
    result = run("train", model_file, "--data", data_file, "--epochs", 30)
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("epoch")]
    assert len(lines) == 10
    assert "30/30" in lines[-1]
    assert "accuracy" in lines[-1]
    assert "samples/s" in lines[-1]
    assert "\x1b" not in result.stderr
    assert "--out DIR" in result.stderr
    assert "of 20 test samples right" in result.stdout
    assert "right" in result.stdout.splitlines()[3]


def test_train_shows_a_bar_on_a_terminal(model_file: Path, data_file: Path) -> None:
    words = ["train", model_file, "--data", data_file, "--epochs", 30]
    result = run(*words, FORCE_COLOR="1", COLUMNS="120", TERM="xterm")
    assert result.exit_code == 0
    assert "epoch 30/30 ━" in result.stderr.replace("\x1b[0m", "").replace("\x1b[38;5;", "") or (
        "━" in result.stderr
    )


def test_evaluate_tells_what_train_told(model_file: Path, data_file: Path, trained: Path) -> None:
    words = ["evaluate", model_file, "--weights", trained / "weights.pkt", "--data", data_file]
    told = json.loads(done(*words, "--json"))
    test = json.loads((trained / "history.json").read_text())["test"]
    assert {key: told[key] for key in test} == test
    assert told == json.loads(done(*words, "--engine", "numpy", "--json"))
    assert f"{100 * test['accuracy']:.2f} % of 20 test samples right" in done(*words)


def test_train_goes_on_from_weights(
    tmp_path: Path, model_file: Path, data_file: Path, trained: Path
) -> None:
    words = ["train", model_file, "--data", data_file, "--epochs", 1, "--json"]
    onward = json.loads(done(*words, "--weights", trained / "weights.pkt"))
    afresh = json.loads(done(*words))
    assert onward["digest"] != afresh["digest"]
    assert onward["history"]["epochs"][0]["loss"] != afresh["history"]["epochs"][0]["loss"]


def test_train_again_into_the_same_folder(model_file: Path, data_file: Path, trained: Path) -> None:
    words = ["train", model_file, "--data", data_file, "--epochs", 3, "--out", trained]
    done(*words)
    assert len(json.loads((trained / "history.json").read_text())["epochs"]) == 3


def test_code_and_training_share_a_folder(model_file: Path, data_file: Path, trained: Path) -> None:
    done("generate", model_file, "-o", trained)
    done("train", model_file, "--data", data_file, "--epochs", 1, "--out", trained)
    assert {"tiny.c", "weights.pkt"} <= set(snapshot(trained))


def test_edited_training_results_are_kept(
    refused: Refused, model_file: Path, data_file: Path, trained: Path
) -> None:
    (trained / "history.json").write_text("{}")
    words = ["train", model_file, "--data", data_file, "--out", trained]
    assert "edited by hand (history.json)" in refused(*words)
    done(*words, "--force")


def test_validation_patience_and_halving(model_file: Path, data_file: Path) -> None:
    words = ["train", model_file, "--data", data_file, "--epochs", 40, "--json"]
    told = json.loads(
        done(*words, "--validation", 0.25, "--patience", 2, "--halve-every", 1, "--seed", 3)
    )
    history = told["history"]
    assert history["best_epoch"] is not None
    assert len(history["epochs"]) <= 40
    assert [row["lr_inv"] for row in history["epochs"]][:3] == [1000, 2000, 4000]


def test_an_example_brings_its_own_training() -> None:
    told = json.loads(done("train", "xor", "--json"))
    assert len(told["history"]["epochs"]) == EXAMPLES["xor"].epochs
    assert told["test"]["accuracy"] == 1.0


def test_a_regression_is_trained_and_measured(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    text = done("train", "sine", "--epochs", 60, "--out", folder)
    assert "mean error" in text
    assert not (folder / "confusion.png").exists()
    told = json.loads(done("evaluate", "sine", "--weights", folder / "weights.pkt", "--json"))
    assert told["confusion"] is None
    assert told["mae"] < 10


def test_health_is_told_and_kept(tmp_path: Path) -> None:
    result = run("train", "xor", "--epochs", 3, "--health", "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0
    assert result.stderr.count("saturated") == result.stderr.count("dead") == 3
    assert "zero updates" in result.stderr
    kept = json.loads((tmp_path / "run" / "history.json").read_text())["epochs"]
    told = json.loads(result.stdout)["history"]["epochs"]
    assert [row["health"] for row in kept] == [row["health"] for row in told]
    assert all(row["health"]["hidden_units"] == 8 for row in kept)


def test_without_matplotlib_there_are_no_pictures(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_file: Path,
    data_file: Path,
    trained: Path,
) -> None:
    monkeypatch.setattr("pocketgen.plots.available", lambda: False)
    result = run("train", model_file, "--data", data_file, "--epochs", 1, "--out", trained)
    assert result.exit_code == 0
    assert "pocketgen[plot]" in result.stderr
    # the pictures of the training before would show something else than these weights
    assert set(snapshot(trained)) == {"weights.pkt", "history.json", "pocketgen-training.json"}


def test_without_optuna_tune_says_so(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketgen.tune.available", lambda: False)
    assert "pip install 'pocketgen[tune]'" in refused("tune", "xor")


def test_many_classes_are_told_by_their_confusions(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(MODEL.replace("Dense(3)", "Dense(30)"))
    np.savez(tmp_path / "many.npz", x=x, y=np.arange(60) % 30)
    text = done("train", tmp_path / "many.py", "--data", tmp_path / "many.npz", "--epochs", 1)
    assert "taken for" in text


x, y = samples()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": x[:, :3], "y": y}, "3 features"),
        ({"x": x.astype(np.int16) - 9, "y": y}, "0..255"),
        ({"x": x.astype(np.int16) + 9, "y": y}, "0..255"),
        ({"x": x.astype(float), "y": y}, "float"),
        ({"x": np.where(x == x[0, 0], np.nan, x), "y": y}, ""),
        ({"x": x, "y": np.where(np.arange(60) == 59, 3, y)}, "4 classes"),
        ({"x": x, "y": y.astype(int) - 1}, ""),
        ({"x": x, "y": y[:, None] * np.ones((1, 2), int)}, "targets"),
        ({"x": x[:0], "y": y[:0]}, ""),
        ({"x": x, "y": y[:59]}, ""),
        ({"x": x}, ""),
    ],
    ids=[
        "shape",
        "low",
        "high",
        "dtype",
        "nan",
        "label",
        "negative",
        "targets",
        "empty",
        "y",
        "no",
    ],
)
def test_data_that_do_not_fit_are_refused(
    refused: Refused, tmp_path: Path, model_file: Path, arrays: dict[str, Any], said: str
) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays)
    words = ["train", model_file, "--data", tmp_path / "wrong.npz", "--out", tmp_path / "run"]
    assert said in refused(*words)


def idx(magic: int, *sizes: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in (magic, *sizes))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.npz", None),
        ("cut.npz", b"PK\x03\x04 and then nothing"),
        ("text.npz", b"not an archive"),
        ("empty.csv", b""),
        ("words.csv", b"1,2,3,4,0\n1,2,three,4,1\n"),
        ("ragged.csv", b"1,2,3,4,0\n1,2,3,1\n"),
        ("t-images-idx3-ubyte", idx(0x803, 60, 2, 2) + bytes(100)),
        ("t-images-idx3-ubyte", idx(0x1234, 60, 2, 2)),
        ("t-images-idx3-ubyte.gz", b"\x1f\x8b\x08 cut"),
        ("picture/one/1.png", b"\x89PNG\r\n\x1a\n cut"),
    ],
)
def test_damaged_data_files_are_refused(
    refused: Refused, tmp_path: Path, model_file: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    given = tmp_path / "picture" if name.startswith("picture") else path
    line = refused("train", model_file, "--data", given, "--out", tmp_path / "run")
    assert str(given) in line


def test_a_model_that_is_no_example_needs_data(refused: Refused, model_file: Path) -> None:
    assert "--data" in refused("train", model_file)


def damaged(blob: bytes, how: str) -> bytes:
    if how == "truncated":
        return blob[:-7]
    if how == "empty":
        return b""
    if how == "flipped":
        return blob[:30] + bytes([blob[30] ^ 4]) + blob[31:]
    if how == "newer":
        return blob[:4] + b"\x63\x00" + blob[6:]
    if how == "no blob":
        return b"<html>not weights</html>" * 9
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped", "newer", "no blob"])
def test_damaged_weights_are_refused(
    refused: Refused, tmp_path: Path, model_file: Path, data_file: Path, trained: Path, how: str
) -> None:
    path = tmp_path / "damaged.pkt"
    path.write_bytes(damaged((trained / "weights.pkt").read_bytes(), how))
    refused("evaluate", model_file, "--weights", path, "--data", data_file)
    refused("train", model_file, "--weights", path, "--data", data_file, "--out", tmp_path / "r2")
    refused("generate", model_file, "--weights", path, "-o", tmp_path / "c")


def test_weights_of_another_model_and_missing_weights_are_refused(
    refused: Refused, tmp_path: Path, trained: Path
) -> None:
    refused("evaluate", "xor", "--weights", trained / "weights.pkt")
    assert "none.pkt" in refused("evaluate", "xor", "--weights", tmp_path / "none.pkt")


@pytest.mark.parametrize(
    "words",
    [["train", "xor", "--epochs", "1"], ["demo"], ["verify", "xor", "--steps", "1"]],
    ids=lambda words: words[0],
)
def test_without_a_compiler_one_line_says_so(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no C compiler" in refused(*words, CC="no-such-compiler")
    assert "no C compiler" in refused(*words, CC="", PATH=str(tmp_path))


def test_without_a_compiler_numpy_still_trains(tmp_path: Path) -> None:
    done("train", "xor", "--engine", "numpy", "--epochs", 2, PATH=str(tmp_path), CC="")


def test_a_compiler_that_fails_is_shown(tmp_path: Path, model_file: Path, data_file: Path) -> None:
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\necho 'cc: the disk is on fire' >&2\nexit 1\n")
    broken.chmod(0o755)
    words = ["train", model_file, "--data", data_file, "--out", tmp_path / "run"]
    result = run(*words, CC=str(broken), POCKETGEN_CACHE=str(tmp_path / "cache"))
    assert result.exit_code == 2
    assert "the disk is on fire" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_ctrl_c_keeps_what_was_learned(tmp_path: Path, model_file: Path, data_file: Path) -> None:
    folder = tmp_path / "run"
    words = ["train", model_file, "--data", data_file, "--epochs", 10**6, "--out", folder]
    environment = {**os.environ, "PYTHONPATH": str(repository_root), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pocketgen", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert "epochs in compiled C" in process.stderr.readline()
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Stopped by Ctrl-C" in said[1]
    assert "Traceback" not in said[1]
    assert sorted(set(snapshot(folder)) - {"pocketgen-training.json"}) == TRAINED
    assert json.loads((folder / "history.json").read_text())["interrupted"] is True


def test_ctrl_c_before_the_first_epochs_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_file: Path, data_file: Path
) -> None:
    def interrupted(net: Any, *arguments: Any, **options: Any) -> History:
        def stop(*_: Any) -> tuple[int, int]:
            raise KeyboardInterrupt

        monkeypatch.setattr(net, "train_samples", stop)
        return fit(net, *arguments, **options)

    monkeypatch.setattr("pocketgen.net.Net.fit", interrupted)
    text = done("train", model_file, "--data", data_file, "--out", tmp_path / "run")
    assert "weights.pkt" in text
    assert not (tmp_path / "run" / "learning_curve.png").exists()


# --- verify, check --------------------------------------------------------------------------------


def test_verify(model_file: Path, data_file: Path) -> None:
    text = done("verify", model_file, "--steps", 20)
    assert "C = numpy" in text
    assert "digests: C " in text
    told = json.loads(done("verify", model_file, "--steps", 20, "--data", data_file, "--json"))
    assert told["agrees"] is True
    assert told["mismatch"] is None
    assert told["digest_c"] == told["digest_numpy"]
    assert told["inputs"] == ["random", "extreme", "ramp", "data"]


def test_verify_exits_with_1_where_c_and_numpy_differ(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pg.build

    def altered(model: pg.Model, **options: Any) -> pg.Net:
        net = original(model, **options)
        if net.engine == "numpy":
            weights = net.weights()
            weights["W2"][3, 1] += 40
            net.set_weights(weights)
        return net

    monkeypatch.setattr(pg, "build", altered)
    result = run("verify", model_file)
    assert result.exit_code == 1
    assert "after step 1 (random input): " in result.stdout
    assert "W2[3, 1]" in result.stdout
    result = run("verify", model_file, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["mismatch"]["buffer"] == "W2"


def test_check_of_the_repository() -> None:
    done("check", "--dir", repository_root / "generated")


def test_check_writes_compares_and_tells_differences(tmp_path: Path, refused: Refused) -> None:
    folder = tmp_path / "generated"
    assert "no folder" in refused("check", "--dir", folder)
    done("check", "--dir", folder, "--write")
    assert sorted(path.name for path in folder.iterdir()) == sorted(EXAMPLES)
    assert "up to date" in done("check", "--dir", folder)
    assert "up to date" in done("check", "--dir", folder, "--write")

    header = folder / "sensor" / "sensor.h"
    header.write_text("/* edited */\n" + header.read_text())
    (folder / "sine" / "sine.c").unlink()
    shutil.copytree(folder / "xor", folder / "gone")
    result = run("check", "--dir", folder)
    assert result.exit_code == 1
    assert "sensor/sensor.h" in result.stdout
    assert "-/* edited */" in result.stdout
    assert "missing: " in result.stdout
    assert "stale: " in result.stdout
    told = json.loads(run("check", "--dir", folder, "--json").stdout)
    assert told["up_to_date"] is False
    assert [change["is"] for change in told["examples"]["sine"]] == ["missing"]

    assert "edited by hand (sensor.h)" in refused("check", "--dir", folder, "--write")
    done("check", "--dir", folder, "--write", "--force")
    assert not (folder / "gone").exists()
    done("check", "--dir", folder)


# --- demo -----------------------------------------------------------------------------------------


def test_demo(tmp_path: Path) -> None:
    compiler("cc")
    folder = tmp_path / "demo"
    started = time.monotonic()
    text = done("demo", "--out", folder)
    assert time.monotonic() - started < 30
    for word in ("1 Train", "2 Verify", "C = numpy", "3 Write", "4 Build", "passed", "Next"):
        assert word in text
    assert (folder / "digits_weights.c").is_file()
    assert set(snapshot(folder)) - {"pocketgen.json"} == set(
        json.loads((folder / "pocketgen.json").read_text())["sha256"]
    ), "the build leaves nothing behind"


def test_demo_as_json_and_without_make(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("cc", "as", "ld"):
        (tools / tool).symlink_to(compiler(tool))
    told = json.loads(done("demo", "--out", tmp_path / "demo", "--json", PATH=str(tools), CC=""))
    assert told["selftest"] == "passed"
    assert told["accuracy"] >= 0.9
    assert told["verification"]["agrees"] is True
    assert "digits.c" in told["files"]


def test_demo_keeps_edited_files(refused: Refused, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done("demo", "--out", folder)
    done("demo", "--out", folder)
    (folder / "digits.c").write_text("mine")
    assert "edited by hand (digits.c)" in refused("demo", "--out", folder)


def test_demo_exits_with_1_where_the_self_test_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pg.generate

    def broken(*arguments: Any, **options: Any) -> dict[str, str]:
        files = original(*arguments, **options)
        main_file = "host/selftest_main.c"
        return {**files, main_file: "int main(void);\nint main(void) { return 3; }\n"}

    monkeypatch.setattr(pg, "generate", broken)
    result = run("demo", "--out", tmp_path / "demo")
    assert result.exit_code == 1
    assert "failed" in result.stdout


def test_a_clamp_is_told_of_though_the_last_epoch_left_it() -> None:
    def epoch(**clamped: int) -> Epoch:
        return Epoch(1, 0.0, None, None, None, 1.0, 1.0, 1, clamped)

    history = History((epoch(W1=0, b1=0, W2=1), epoch(W1=7, b1=0, W2=2), epoch(W1=0, b1=0, W2=1)))
    assert most_clamped(history) == {"W1": 7, "W2": 2}
    assert most_clamped(History()) == {}
