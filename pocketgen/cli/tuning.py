"""The command tune: a search over the options of a model's rule."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pocketgen import output, tune
from pocketgen.cli.arguments import (
    check_fit,
    data_option,
    engine_option,
    force_option,
    held_back,
    json_option,
    load_data,
    load_model,
    model_argument,
)
from pocketgen.cli.terminal import percent, print_json, remark
from pocketgen.cli.training import DEFAULT_EPOCHS, EngineName
from pocketgen.errors import PocketgenError
from pocketgen.model import Model
from pocketgen.source import source

SHOWN = 5  # trials in the report for people


@click.command("tune")
@model_argument
@data_option
@click.option(
    "--trials",
    type=click.IntRange(1),
    metavar="N",
    default=50,
    show_default=True,
    help="Trials in all, earlier ones of the study included.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help=f"Of each trial. [default: the example's own, else {DEFAULT_EPOCHS}]",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="FRACTION",
    default=0.2,
    show_default=True,
    help="The part of the training samples that is held back to compare by.",
)
@click.option(
    "--timeout", type=click.FloatRange(0), metavar="S", help="Start no trial after S seconds."
)
@click.option(
    "--storage",
    metavar="URL",
    help="A database that Optuna supports. [default: sqlite:///tune.db in --out]",
)
@click.option("--study", "study_name", metavar="NAME", help="[default: the model's name]")
@click.option(
    "--workers",
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Processes that search together.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    help="Of weights, order, what is held back, and the search. [default: the model's]",
)
@click.option(
    "--out", metavar="DIR", default=".", show_default=True, help="The model file goes here."
)
@engine_option
@force_option
@json_option
def tune_command(
    model_word: str,
    data: str | None,
    trials: int,
    epochs: int | None,
    validation: float,
    timeout: float | None,
    storage: str | None,
    study_name: str | None,
    workers: int,
    seed: int | None,
    out: str,
    engine: EngineName,
    force: bool,
    as_json: bool,
) -> None:
    """Search the options of MODEL's rule; the result is a model file.

    Trials are compared on samples held back from the training samples; the test samples are not
    measured. Batches are never larger, and weights and feedback are kept as they are, for the
    device's memory. The first trial has the model's own options. The same command goes on where it
    stopped, and joins in where it runs on other machines with the same --storage. Ctrl-C ends it
    with the best so far. Needs Optuna: pip install "pocketgen[tune]".

    \b
    Examples:
      pocketgen tune digits --trials 30 --epochs 20 --out tuned
      pocketgen tune mymodel.py --data measured.csv --workers 4
      pocketgen tune mymodel.py --data measured.csv --storage postgresql://user@host/tune
    """
    model, example = load_model(model_word)
    if not tune.available():
        raise PocketgenError("tune needs Optuna: pip install 'pocketgen[tune]'")
    file = f"{model.name}_tuned.py"
    manifest = f"pocketgen-tune-{model.name}.json"
    output.refuse_unsafe(out, [file], force, model.name, manifest)
    samples = load_data(data, example)
    check_fit(model, samples)
    chosen_seed = model.seed if seed is None else seed
    x, y, aside, _ = held_back(samples, validation, chosen_seed)
    if epochs is None:
        epochs = DEFAULT_EPOCHS if example is None else example.epochs
    if storage is None:
        Path(out).mkdir(parents=True, exist_ok=True)
        storage = f"sqlite:///{(Path(out) / 'tune.db').as_posix()}"
    searched = tune.space(model)
    remark(
        f"{model.name}: {', '.join(searched)}; {len(x)} samples of {samples.name}, {len(aside[0])} "
        f"held back, {epochs} epochs a trial, {trials} trials"
    )
    task = tune.Task(model, x, y, aside, epochs, chosen_seed, engine)
    tuned = tune.tune(
        task,
        storage,
        trials,
        timeout,
        study_name,
        workers,
        lambda trial: remark(trial_line(trial, model)),
    )
    files = {file: source(tuned.model, title(tuned, task))}
    output.write_files(out, files, force, model.name, manifest)
    path = (Path(out) / file).as_posix()
    best = tune.ranked(tuned.trials, model.rule.expects == "label")[:SHOWN]
    if as_json:
        print_json(
            {
                "model": model.name,
                "data": samples.name,
                "epochs": epochs,
                "trials": len(tuned.trials),
                **{word: states(tuned, word) for word in ("finished", "pruned", "refused")},
                "running": tuned.running,
                "interrupted": tuned.interrupted,
                "start": None if tuned.start is None else asdict(tuned.start),
                "best": [asdict(trial) for trial in best],
                "file": path,
            }
        )
        return
    remark_end(tuned)
    for trial in best:
        click.echo(trial_line(trial, model))
    click.echo(f"\nwrote {path}")
    remark(
        f"Next: pocketgen train {path} --data {data or samples.name} --epochs {epochs} --out run"
    )


def states(tuned: tune.Tuned, word: str) -> int:
    """How many trials ended so."""
    return sum(trial.state == word for trial in tuned.trials)


def remark_end(tuned: tune.Tuned) -> None:
    """What became of all trials."""
    words = [f"{states(tuned, word)} {word}" for word in ("finished", "pruned", "refused")]
    remark(f"{len(tuned.trials)} trials: {', '.join(words)}.")
    if tuned.interrupted:
        remark("Stopped by Ctrl-C; the same command goes on.")
    if tuned.running:
        remark(f"{tuned.running} more still run, or their worker was killed less than 5 min ago.")


def trial_line(trial: tune.Trial, model: Model) -> str:
    """One trial: its value, and the options that differ from the model's own."""
    own = tune.own_options(model)
    other = [f"{name}={value}" for name, value in trial.options.items() if own[name] != value]
    words = trial.reason or " ".join(other) or "the model's own options"
    return f"trial {trial.number:>3}  {value_words(trial, model):>9}  {words}"


def value_words(trial: tune.Trial, model: Model) -> str:
    """What a trial reached, or that it did not end."""
    if trial.value is None:
        return trial.state
    return percent(trial.value) if model.rule.expects == "label" else f"{trial.value:.6g}"


def title(tuned: tune.Tuned, task: tune.Task) -> str:
    """The docstring of the model file: where the options come from, and what they reach."""
    what = "accuracy" if task.model.rule.expects == "label" else "loss"
    measured = f"on {len(task.validation[0])} validation samples"
    lines = [
        f"{tuned.model.name} with the options that pocketgen tune found best.",
        "",
        f"{len(tuned.trials)} trials of {task.epochs} epochs, seed {task.seed}; {what} {measured}:",
        f"these options, trial {tuned.best.number}: {value_words(tuned.best, task.model)}",
    ]
    if tuned.start is not None:
        lines.append(f"the model's own: {value_words(tuned.start, task.model)}")
    return "\n".join([*lines, ""])
