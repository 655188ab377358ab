"""A search over the few options of a model's rule, measured on validation samples, with Optuna.

In: a model, samples, validation samples. Out: the best model and what was tried, as ``Tuned``.
The trials stand in a database, so that several processes and machines can share a search and a
later call goes on with it. Not here: what is held back for validation, and files (cli); which
values are worth a try (rules).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import math
import multiprocessing
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pocketgen import build
from pocketgen.errors import ModelError, PocketgenError
from pocketgen.fit import Epoch, Status
from pocketgen.model import Model
from pocketgen.net import EngineName
from pocketgen.rules.search import Choice, Span, widened
from pocketgen.source import source

Array = NDArray[Any]
State = Literal["finished", "pruned", "refused"]

REPORTS = 10  # looks at a trial on its way, at most: whether it is hopeless
SURE_TRIALS = 5  # finished trials before the first one is given up
LOCAL_WAIT = 60  # seconds for SQLite, while another process writes
OPENINGS = 3  # of a database, a second apart
POLL_SECONDS = 0.3
ALIVE_SECONDS = 30.0  # between signs of life of a trial
STALE_SECONDS = 300.0  # without a sign of life, its worker is gone


@dataclass(frozen=True)
class Task:
    """What every trial does with its options.

    x, y, validation: samples as the model takes them, and others to measure on. epochs: of each
    trial. seed: of weights, order and search. engine: what computes.
    """

    model: Model
    x: Array
    y: Array
    validation: tuple[Array, Array]
    epochs: int
    seed: int
    engine: EngineName = "c"


@dataclass(frozen=True)
class Trial:
    """One set of options and how it went.

    value: accuracy 0..1 on the validation samples, for a regression their loss; None if it was not
    trained to the end. state: "finished", "pruned" (hopeless on its way) or "refused" (no valid or
    no safe model, for the reason). options: of the rule, those that are searched.
    """

    number: int
    state: State
    value: float | None
    options: Mapping[str, Any]
    reason: str = ""


@dataclass(frozen=True)
class Tuned:
    """The outcome of a search.

    model: with the best options. best, start: the best trial and the one with the model's own
    options (of equal ones the first is best). trials: all that ended, by number. running: trials
    that other workers have not ended. interrupted: Ctrl-C ended it.
    """

    model: Model
    best: Trial
    start: Trial | None
    trials: tuple[Trial, ...]
    running: int = 0
    interrupted: bool = False


@dataclass(frozen=True)
class Limits:
    """trials: in all, earlier ones included. deadline: no trial starts after it, in Unix time."""

    trials: int
    deadline: float = math.inf


Progress = Callable[[Trial], None]


def available() -> bool:
    """Whether Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


def space(model: Model) -> dict[str, Choice]:
    """The options to search and their values, the model's own among them."""
    rule: Any = model.rule
    found = {name: widened(c, getattr(rule, name)) for name, c in model.rule.search().items()}
    return {name: choice for name, choice in found.items() if several(choice)}


def several(choice: Choice) -> bool:
    """Whether there is anything to choose."""
    return choice.low < choice.high if isinstance(choice, Span) else len(choice) > 1


def with_options(model: Model, options: Mapping[str, Any]) -> Model:
    """The model with other options of its rule; ModelError where they make no sense."""
    rule: Any = model.rule
    return replace(model, rule=replace(rule, **options))


def own_options(model: Model) -> dict[str, Any]:
    """The model's own values of the options that are searched."""
    return {name: getattr(model.rule, name) for name in space(model)}


def tune(
    task: Task,
    storage: str,
    trials: int = 50,
    timeout: float | None = None,
    study_name: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Tuned:
    """Search until so many trials have ended in all, those of earlier calls included.

    The first trial has the model's own options, so the best is never worse on the validation
    samples. storage: a database as a URL, such as sqlite:///tune.db; whoever calls with the same
    one joins in. timeout: seconds after which no trial starts. study_name: by default the model's
    name. workers: processes; several, and several machines, may together end a few trials more.
    progress: called with each trial of this search that ends. With one worker the same call gives
    the same trials, stopped and resumed in between or not.

    Ctrl-C ends the search with what there is. Raises PocketgenError without Optuna, for a storage
    that cannot be used, for a study of another model, data, seed or number of epochs, and where no
    trial was finished; ModelError for a model that is refused as it stands.
    """
    if not available():
        raise PocketgenError("tune needs Optuna: pip install 'pocketgen[tune]'")
    if storage.rstrip("/") == "sqlite:" or ":memory:" in storage:
        raise PocketgenError("storage in memory is lost at the end: name a file, sqlite:///tune.db")
    build(task.model, engine=task.engine).check_pairs(task.x, task.y)
    name = task.model.name if study_name is None else study_name
    limits = Limits(trials, math.inf if timeout is None else time.time() + timeout)
    seen: set[int] = set()

    def tell(study: Any) -> None:
        for trial in ended(study):
            if trial.number not in seen:
                seen.add(trial.number)
                if progress is not None:
                    progress(trial)

    with reporting(storage), heard() as stop:
        with opened(storage, name, task) as study:
            check_same(study, task)
            forget_stale(study)
            enqueue_start(study, task.model)
            seen |= {trial.number for trial in ended(study)}
            if workers == 1:
                work_here(task, study, limits, stop, tell)
            else:
                work_beside(task, study, storage, limits, workers, stop, tell)
        # Opened anew: Optuna's cache may not see a trial that another machine began just before one
        # of ours.
        with opened(storage, name, task) as study:
            tell(study)
            return outcome(study, task.model, stop.is_set())


@contextlib.contextmanager
def heard() -> Iterator[threading.Event]:
    """Ctrl-C as an event: an exception amid the database's work would leave a trial half told.

    The second one is an exception again, for who does not want to wait.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # other threads hear no signals
        return
    before = signal.getsignal(signal.SIGINT)

    def hear(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, hear)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def work_here(
    task: Task, study: Any, limits: Limits, stop: threading.Event, tell: Callable[[Any], None]
) -> None:
    """Trial after trial in this process."""
    try:
        work(task, study, limits, threading.Lock(), stop, tell)
    except KeyboardInterrupt:
        stop.set()


def work_beside(
    task: Task,
    study: Any,
    storage: str,
    limits: Limits,
    workers: int,
    stop: threading.Event,
    tell: Callable[[Any], None],
) -> None:
    """Trials in processes of their own."""
    context = multiprocessing.get_context("spawn")
    lock, halt, failures = context.Lock(), context.Event(), context.SimpleQueue()
    given = (task, storage, study.study_name, limits, lock, halt, failures)
    processes = [context.Process(target=worker, args=given, daemon=True) for _ in range(workers)]
    with deaf():
        for process in processes:
            process.start()
    while alive := [p.sentinel for p in processes if p.is_alive()]:
        if stop.is_set():
            halt.set()
        wait(alive, POLL_SECONDS)
        tell(study)
    if not failures.empty():
        raise PocketgenError(failures.get())
    broken = [p.exitcode for p in processes if p.exitcode]
    if broken:
        raise PocketgenError(f"a worker of the search ended with status {broken[0]}")


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Let processes that start meanwhile ignore Ctrl-C, which reaches all: the first says stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def worker(
    task: Task, storage: str, name: str, limits: Limits, lock: Any, stop: Any, failures: Any
) -> None:
    """A process of the search: joins the study and works until it is done or told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where starting deaf was not possible
    try:
        with reporting(storage), opened(storage, name, task) as study:
            work(task, study, limits, lock, stop, lambda _: None)
    except KeyboardInterrupt:
        pass
    except PocketgenError as error:
        failures.put(str(error))


def work(
    task: Task, study: Any, limits: Limits, lock: Any, stop: Any, tell: Callable[[Any], None]
) -> None:
    """Trial after trial until enough are claimed; KeyboardInterrupt where told to stop."""
    from optuna.samplers import TPESampler

    while time.time() < limits.deadline and not stop.is_set():
        with lock:
            if count(study, "COMPLETE", "PRUNED", "RUNNING") >= limits.trials:
                return
            trial = study.ask()
            sign_of_life(trial)
        # By the place of the trial, so that a resumed search goes the same way as a whole one,
        # and two workers go different ones.
        study.sampler = TPESampler(seed=(task.seed * 1_000_003 + place(study, trial)) % 2**32)
        run(task, study, trial, stop)
        tell(study)


def place(study: Any, trial: Any) -> int:
    """How many trials that count came before this one."""
    earlier = study.get_trials(deepcopy=False)[: trial.number]
    return sum(other.state.name != "FAIL" for other in earlier)


def run(task: Task, study: Any, trial: Any, stop: Any) -> None:
    """One trial, and what became of it into the study."""
    from optuna.trial import TrialState

    try:
        options = {name: suggest(trial, name, c) for name, c in space(task.model).items()}
        study.tell(trial, measured(task, study, trial, options, stop))
    except ModelError as error:
        trial.set_user_attr("refused", str(error))
        study.tell(trial, state=TrialState.PRUNED)
    except Hopeless:
        study.tell(trial, state=TrialState.PRUNED)
    except BaseException:  # such as Ctrl-C: it does not count, and its options come again
        study.tell(trial, state=TrialState.FAIL)
        if stop.is_set():  # a compiler hears Ctrl-C, too, and fails
            raise KeyboardInterrupt from None
        raise


class Hopeless(Exception):  # noqa: N818
    """A trial that is worse on its way than others were."""


def measured(task: Task, study: Any, trial: Any, options: Mapping[str, Any], stop: Any) -> float:
    """What a model with these options reaches on the validation samples."""
    model = with_options(task.model, options)
    digest = text_digest("\n".join(model.description))
    trial.set_user_attr("digest", digest)
    for other in study.get_trials(deepcopy=False):
        if other.state.name == "COMPLETE" and other.user_attrs.get("digest") == digest:
            return float(other.value)  # None and the value that the shapes give are one model
    net = build(model, engine=task.engine)
    net.init(task.seed)
    every = math.ceil(task.epochs / REPORTS)
    start = options == own_options(task.model)  # is trained to the end: others are measured by it
    signed = time.monotonic()

    def look(status: Status) -> None:
        nonlocal signed
        if stop.is_set():
            raise KeyboardInterrupt
        if time.monotonic() - signed > ALIVE_SECONDS:
            signed = time.monotonic()
            sign_of_life(trial)
        row = status.finished
        if row is not None and row.epoch % every == 0 and row.epoch < task.epochs:
            trial.report(merit(row), row.epoch)
            if not start and trial.should_prune():
                raise Hopeless

    history = net.fit(
        task.x,
        task.y,
        task.epochs,
        validation_data=task.validation,
        shuffle_seed=task.seed,
        progress=look,
    )
    if history.interrupted:
        raise KeyboardInterrupt
    return merit(history.epochs[-1])


def merit(row: Epoch) -> float:
    """What is compared: accuracy, for a regression the loss."""
    value = row.val_loss if row.val_accuracy is None else row.val_accuracy
    assert value is not None
    return value


def suggest(trial: Any, name: str, choice: Choice) -> Any:
    """A value of an option, of Optuna's choice."""
    if isinstance(choice, Span):
        return trial.suggest_int(name, choice.low, choice.high, log=not choice.even)
    return trial.suggest_categorical(name, choice)


@contextlib.contextmanager
def opened(storage: str, name: str, task: Task) -> Iterator[Any]:
    """The study in the database, made if it is not there."""
    import optuna
    import sqlalchemy

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the command line tells what matters
    waiting = {"connect_args": {"timeout": LOCAL_WAIT}} if storage.startswith("sqlite:") else {}
    for attempt in range(OPENINGS):
        try:
            database = optuna.storages.RDBStorage(storage, engine_kwargs=waiting)
            break
        except sqlalchemy.exc.DBAPIError:  # such as: another machine just now makes the tables
            if attempt + 1 == OPENINGS:
                raise
            time.sleep(1)
    try:
        yield optuna.create_study(
            storage=database,
            pruner=optuna.pruners.MedianPruner(SURE_TRIALS, n_warmup_steps=task.epochs // 4),
            study_name=name,
            direction="maximize" if task.model.rule.expects == "label" else "minimize",
            load_if_exists=True,
        )
    finally:
        database.remove_session()
        database.engine.dispose()


def check_same(study: Any, task: Task) -> None:
    """Note in a new study what it is about; PocketgenError where an old one is about else."""
    data = (task.x, task.y, *task.validation)
    wanted = {
        "model": text_digest(source(task.model)),
        "epochs": task.epochs,
        "seed": task.seed,
        "data": hashlib.sha256(b"".join(map(fingerprint, data))).hexdigest()[:16],
    }
    known = study.user_attrs
    for key, value in wanted.items():
        if key in known and known[key] != value:
            raise PocketgenError(
                f"study {study.study_name!r} was begun with {differing(key, known[key])}: "
                "continue it with the same, or give --study another name"
            )
    for key, value in wanted.items():
        if key not in known:
            study.set_user_attr(key, value)


def differing(key: str, value: object) -> str:
    """What a study was begun with, in words."""
    if key == "data":
        return "other data, or another part of them held back"
    return "another model" if key == "model" else f"{key} {value}"


def fingerprint(data: Array) -> bytes:
    """Of an array: its type, shape and values."""
    head = f"{data.dtype.str} {data.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(data).tobytes()).digest()


def text_digest(text: str) -> str:
    """64 bits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sign_of_life(trial: Any) -> None:
    """Note who works at a trial, and when it last did."""
    trial.set_user_attr("worker", [platform.node(), os.getpid(), time.time()])


def forget_stale(study: Any) -> None:
    """Fail the trials whose workers were killed, so that others take their places."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False):
        if trial.state is not TrialState.RUNNING:
            continue
        node, process, when = trial.user_attrs.get("worker", ["", 0, 0.0])
        gone = node == platform.node() and not runs(process)
        if gone or time.time() - when > STALE_SECONDS:
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def runs(process: int) -> bool:
    """Whether a process of this machine runs, as far as can be told."""
    if os.name != "posix":
        return True  # elsewhere the question would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def enqueue_start(study: Any, model: Model) -> None:
    """Have the model's own options tried first, unless they were."""
    own = own_options(model)
    tried = study.get_trials(deepcopy=False)
    if not any(
        t.state.name == "WAITING" or (t.state.name == "COMPLETE" and t.params == own) for t in tried
    ):
        study.enqueue_trial(own)


def count(study: Any, *states: str) -> int:
    """How many trials are in one of these states."""
    return sum(trial.state.name in states for trial in study.get_trials(deepcopy=False))


def ended(study: Any) -> list[Trial]:
    """The trials that count, by number."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        reason = trial.user_attrs.get("refused", "")
        if trial.state.name == "COMPLETE":
            found.append(Trial(trial.number, "finished", float(trial.value), dict(trial.params)))
        elif trial.state.name == "PRUNED":
            state: State = "refused" if reason else "pruned"
            found.append(Trial(trial.number, state, None, dict(trial.params), reason))
    return found


def ranked(trials: tuple[Trial, ...], largest: bool) -> list[Trial]:
    """Finished trials, the best first; of equal ones the first comes first."""
    done = [trial for trial in trials if trial.value is not None]
    return sorted(done, key=lambda t: (-(t.value or 0) if largest else (t.value or 0), t.number))


def outcome(study: Any, model: Model, interrupted: bool) -> Tuned:
    """The search as it now stands; KeyboardInterrupt or PocketgenError without a finished trial."""
    trials = tuple(ended(study))
    order = ranked(trials, model.rule.expects == "label")
    if not order:
        if interrupted:
            raise KeyboardInterrupt
        raise PocketgenError("no trial was finished in time: give more of it, or fewer --epochs")
    own = own_options(model)
    return Tuned(
        model=with_options(model, order[0].options),
        best=order[0],
        start=next((t for t in trials if t.options == own), None),
        trials=trials,
        running=count(study, "RUNNING"),
        interrupted=interrupted,
    )


@contextlib.contextmanager
def reporting(storage: str) -> Iterator[None]:
    """Turn what a database or its driver says into one line without its password."""
    import optuna
    import sqlalchemy

    try:
        yield
    except (optuna.exceptions.OptunaError, sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        try:
            shown = sqlalchemy.engine.make_url(storage).render_as_string(hide_password=True)
        except sqlalchemy.exc.SQLAlchemyError:
            raise PocketgenError(
                "storage is no URL of a database; one is sqlite:///tune.db"
            ) from None
        cause = error.__cause__ or error
        words = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise PocketgenError(f"storage {shown} cannot be used: {words}") from error
