"""A search over a rule's options: trials, resuming, workers, refusals, and the model file."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import pocketgen as pg
from pocketgen import tune
from pocketgen.cli import main
from pocketgen.cli.arguments import load_model
from pocketgen.errors import ModelError, PocketgenError
from pocketgen.examples import EXAMPLES
from pocketgen.rules.search import Span
from support import repository_root, require

require(importlib.util.find_spec("optuna"), "optuna is not installed")

MODEL = """\
import pocketgen as pg

layers = [pg.Dense(6), pg.Dense(3, "identity")]
model = pg.Model("tiny", pg.Input((4,), "uint8"), layers, pg.CrossEntropyDFA(batch=20))
"""
QUICK = ("--engine", "numpy", "--epochs", 4)


def samples(count: int = 200) -> tuple[Any, Any]:
    """Three classes by which of the first three features is the largest."""
    x = np.random.default_rng(3).integers(0, 256, (count, 4)).astype(np.uint8)
    return x, x[:, :3].argmax(axis=1).astype(np.uint8)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a model file and its data."""
    (tmp_path / "tiny.py").write_text(MODEL)
    x, y = samples()
    np.savez(
        tmp_path / "data.npz", x_train=x[:160], y_train=y[:160], x_test=x[160:], y_test=y[160:]
    )
    return tmp_path


def called(here: Path, *words: object) -> Result:
    """The command tune with the files of this folder."""
    given = ["tune", here / "tiny.py", "--data", here / "data.npz", *QUICK, *words]
    return invoked(*given)


def invoked(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    assert result.exit_code == 2, result.stdout
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("pocketgen: ")
    assert "Traceback" not in result.stderr
    return lines[-1]


def task(**changes: Any) -> tune.Task:
    x, y = samples()
    rule = pg.CrossEntropyDFA(batch=20)
    layers = [pg.Dense(6), pg.Dense(3, "identity")]
    model = pg.Model("tiny", pg.Input((4,)), layers, rule)
    whole = tune.Task(model, x[:120], y[:120], (x[120:160], y[120:160]), 4, 1, "numpy")
    return replace(whole, **changes)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """A database on disk, which several calls and processes see."""
    return f"sqlite:///{(tmp_path / 'study.db').as_posix()}"


# --- what is searched -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_every_value_in_the_space_is_valid_and_no_batch_is_larger(name: str) -> None:
    model = EXAMPLES[name].model
    space = tune.space(model)
    assert len(space) >= 2
    for option, choice in space.items():
        own = getattr(model.rule, option)
        if isinstance(choice, Span):
            assert choice.low <= own <= choice.high
            values: tuple[Any, ...] = (choice.low, choice.high)
        else:
            assert own in choice
            values = choice
        for value in values:
            rule: Any = tune.with_options(model, {option: value}).rule
            assert getattr(rule, option) == value
            assert rule.batch <= model.rule.batch
    assert not set(space) & {"weights", "feedback", "wide_sums", "target_range", "schedule"}


def test_own_values_outside_the_usual_ones_are_searched_too() -> None:
    model = tune.with_options(task().model, {"rate": 255, "dropout": 7, "rate_shift": 20})
    space = tune.space(model)
    assert space["rate"] == Span(4, 255, even=False)
    assert space["rate_shift"] == Span(9, 20)
    choice = space["dropout"]
    assert isinstance(choice, tuple)
    assert 7 in choice
    assert "rounding" not in tune.space(
        tune.with_options(model, {"weights": "int8", "rounding": "stochastic"})
    )


# --- the search -----------------------------------------------------------------------------------


def test_the_first_trial_is_the_model_itself_and_the_best_is_no_worse(storage: str) -> None:
    told_of: list[tune.Trial] = []
    found = tune.tune(task(), storage, 8, progress=told_of.append)
    assert [trial.number for trial in found.trials] == list(range(8))
    assert tuple(told_of) == found.trials
    assert found.start == found.trials[0]
    assert found.start.options == tune.own_options(task().model)
    assert found.best.value is not None
    assert found.start.value is not None
    assert found.best.value == max(t.value for t in found.trials if t.value is not None)
    assert found.best.value > found.start.value  # on these data the defaults learn too slowly
    assert found.model == tune.with_options(task().model, found.best.options)
    # the value is that of an ordinary training
    net = pg.build(found.model, engine="numpy")
    x, y = samples()
    net.fit(x[:120], y[:120], 4)
    assert net.evaluate(x[120:160], y[120:160])["accuracy"] == found.best.value


def test_stopped_and_resumed_is_as_in_one_go(storage: str) -> None:
    whole = tune.tune(task(), storage, 8, study_name="whole")
    assert len(tune.tune(task(), storage, 4).trials) == 4
    assert tune.tune(task(), storage, 8) == whole
    assert {t.state for t in whole.trials} == {"finished", "pruned"}
    assert tune.tune(task(), storage, 2) == whole, "fewer trials than there are: nothing to do"


def test_a_stopped_trial_does_not_count_and_comes_again(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune.tune(task(), storage, 5, study_name="whole")
    fit = pg.Net.fit

    def stopping(self: Any, *words: Any, **options: Any) -> Any:
        look = options["progress"]

        def stop(status: Any) -> None:
            look(status)
            if len(seen) == 3:
                raise KeyboardInterrupt

        return fit(self, *words, **{**options, "progress": stop})

    seen: list[tune.Trial] = []
    monkeypatch.setattr(pg.Net, "fit", stopping)
    found = tune.tune(task(), storage, 5, progress=seen.append)
    assert found.interrupted
    assert found.trials == whole.trials[:3]
    monkeypatch.undo()
    again = tune.tune(task(), storage, 5)
    assert not again.interrupted
    assert [(t.value, t.options) for t in again.trials] == [
        (t.value, t.options) for t in whole.trials
    ]


def test_a_killed_worker_is_forgotten(storage: str) -> None:
    tune.tune(task(), storage, 2)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    for worker in (
        [platform.node(), int(ended.stdout), time.time()],
        ["elsewhere", 1, time.time() - 3600],
        ["elsewhere", 1, time.time()],
    ):
        with tune.opened(storage, "tiny", task()) as study:
            study.ask().set_user_attr("worker", worker)
    found = tune.tune(task(), storage, 5)
    assert found.running == 1, "only the last may still be at work"
    assert len(found.trials) == 4
    with tune.opened(storage, "tiny", task()) as study:
        assert tune.count(study, "FAIL") == 2
        assert tune.count(study, "RUNNING") == 1


def test_a_refused_model_is_a_trial_with_its_reason(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "space", lambda model: {"rate": (16, 999)})
    found = tune.tune(task(), storage, 6)
    bad = [trial for trial in found.trials if trial.state == "refused"]
    assert bad
    assert all(trial.value is None and "1..255" in trial.reason for trial in bad)
    assert found.best.options == {"rate": 16}


def test_a_model_that_is_refused_as_it_stands_is_no_study(tmp_path: Path, storage: str) -> None:
    model = replace(task().model, layers=(pg.Dense(1, "identity"),))
    with pytest.raises(ModelError):
        tune.tune(task(model=model), storage, 3)
    assert list(tmp_path.iterdir()) == []


def test_one_model_is_not_trained_twice(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[str] = []
    build = tune.build

    def counting(model: pg.Model, **options: Any) -> pg.Net:
        builds.append(repr(model.rule))
        return build(model, **options)

    monkeypatch.setattr(tune, "build", counting)
    monkeypatch.setattr(tune, "space", lambda model: {"dropout": (None, 0)})  # 4 inputs: 0
    found = tune.tune(task(), storage, 6)
    assert len(found.trials) == 6
    assert {trial.options["dropout"] for trial in found.trials} == {None, 0}
    assert len(builds) == 2, "one to see whether the model is valid, one to train it"


def test_a_regression_is_compared_by_its_loss(storage: str) -> None:
    example = EXAMPLES["sine"]
    data = example.load()
    x, y = data.x_train, data.y_train
    work = tune.Task(example.model, x[::2], y[::2], (x[1::2], y[1::2]), 3, 1, "numpy")
    found = tune.tune(work, storage, 4)
    assert "target" not in found.best.options
    assert found.best.value == min(t.value for t in found.trials if t.value is not None)


def test_without_time_there_is_no_result(storage: str) -> None:
    with pytest.raises(PocketgenError, match="no trial was finished"):
        tune.tune(task(), storage, 3, timeout=0)


# --- the command ----------------------------------------------------------------------------------


def test_the_model_file_is_taken_by_train(here: Path) -> None:
    result = told(called(here, "--trials", 3, "--out", here / "a", "--json"))
    assert (result["trials"], result["running"], result["interrupted"]) == (3, 0, False)
    assert result["finished"] + result["pruned"] + result["refused"] == 3
    assert [t["value"] for t in result["best"]] == sorted(
        (t["value"] for t in result["best"]), reverse=True
    )
    file = here / "a" / "tiny_tuned.py"
    assert result["file"] == file.as_posix()
    made, _ = load_model(str(file))
    own, _ = load_model(str(here / "tiny.py"))
    assert made == tune.with_options(own, result["best"][0]["options"])

    again = called(here, "--trials", 3, "--out", here / "b")
    assert again.exit_code == 0, again.stderr
    assert (here / "b" / "tiny_tuned.py").read_bytes() == file.read_bytes()
    assert f"wrote {(here / 'b' / 'tiny_tuned.py').as_posix()}" in again.stdout
    assert again.stderr.count("trial ") == 3
    assert "the model's own options" in again.stderr

    words = ["train", file, "--data", here / "data.npz", "--epochs", 2, "--engine", "numpy"]
    assert told(invoked(*words, "--json"))["model"] == "tiny"


def test_two_workers_share_a_study(here: Path) -> None:
    result = told(called(here, "--trials", 5, "--workers", 2, "--out", here / "a", "--json"))
    assert result["trials"] == 5
    assert result["start"]["number"] == 0
    storage = f"sqlite:///{(here / 'a' / 'tune.db').as_posix()}"
    with tune.opened(storage, "tiny", task()) as study:
        processes = [t.user_attrs["worker"][1] for t in study.get_trials()]
        assert len({str(t.params) for t in study.get_trials()}) == 5, "none is tried twice"
    assert len(processes) == 5
    assert os.getpid() not in processes


def test_a_study_of_something_else_is_refused(here: Path) -> None:
    assert called(here, "--trials", 1, "--out", here).exit_code == 0
    before = (here / "tiny_tuned.py").read_bytes()
    x, y = samples(201)
    parts = {"x_train": x[1:161], "y_train": y[1:161], "x_test": x[161:], "y_test": y[161:]}
    np.savez(here / "other.npz", **parts)
    (here / "other.py").write_text(MODEL.replace("Dense(6)", "Dense(7)"))
    own, data = here / "tiny.py", ["--data", here / "data.npz"]
    for words, said in (
        ([own, *data, "--epochs", 5], "epochs 4"),
        ([own, *data, "--seed", 9], "seed 1"),
        ([own, *data, "--validation", 0.3], "other data, or another part"),
        ([own, "--data", here / "other.npz"], "other data"),
        ([here / "other.py", *data], "another model"),
    ):
        line = refused(invoked("tune", *QUICK, *words, "--trials", 2, "--out", here))
        assert said in line
        assert "--study" in line
    assert (here / "tiny_tuned.py").read_bytes() == before
    with tune.opened(f"sqlite:///{(here / 'tune.db').as_posix()}", "tiny", task()) as study:
        assert len(study.get_trials()) == 1
    assert called(here, "--trials", 1, "--out", here, "--seed", 9, "--study", "b").exit_code == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "no URL"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:////no-such-folder/tune.db", "unable to open"),
        ("nosuchkind://user:hunter2@host/db", "nosuchkind"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told(here: Path, url: str, said: str) -> None:
    result = called(here, "--storage", url, "--out", here / "a")
    assert said in refused(result)
    assert "hunter2" not in result.stderr


def test_files_of_the_users_own_are_kept(here: Path) -> None:
    (here / "tiny_tuned.py").write_text("mine")
    assert "--force" in refused(called(here, "--trials", 1, "--out", here))
    assert not (here / "tune.db").exists()
    assert called(here, "--trials", 1, "--out", here, "--force").exit_code == 0
    assert "pg.Model" in (here / "tiny_tuned.py").read_text()


@pytest.fixture
def started(here: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A search in a process of its own, long enough to be stopped."""
    running: list[subprocess.Popen[str]] = []

    def start(workers: int) -> subprocess.Popen[str]:
        words = ["tune", "tiny.py", "--data", "data.npz", "--engine", "numpy", "--epochs", "8"]
        command = [sys.executable, "-m", "pocketgen", *words, "--trials", "2000"]
        environment = {**os.environ, "PYTHONPATH": str(repository_root)}
        process = subprocess.Popen(
            [*command, "--workers", str(workers)],
            cwd=here,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_there_is(
    here: Path, started: Callable[..., subprocess.Popen[str]], workers: int
) -> None:
    process = started(workers)
    assert process.stderr is not None
    for line in process.stderr:  # until the second trial has ended
        if line.startswith("trial   1"):
            break
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Stopped by Ctrl-C" in err
    assert "Traceback" not in err
    assert "wrote tiny_tuned.py" in out
    with tune.opened(f"sqlite:///{(here / 'tune.db').as_posix()}", "tiny", task()) as study:
        assert tune.count(study, "RUNNING") == 0
        assert tune.count(study, "COMPLETE", "PRUNED") >= 2
