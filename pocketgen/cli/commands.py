"""The commands examples, generate, verify and check: models and their C."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import pocketgen
from pocketgen import output
from pocketgen.cli.arguments import (
    check_fit,
    data_option,
    force_option,
    json_option,
    load_data,
    load_model,
    model_argument,
    weights_of,
)
from pocketgen.cli.terminal import (
    network,
    print_json,
    remark,
    stepping,
    verification_json,
    verification_line,
)
from pocketgen.errors import PocketgenError
from pocketgen.examples import EXAMPLES, Example
from pocketgen.verify import verify


@click.command()
@json_option
def examples(as_json: bool) -> None:
    """List the models that come with pocketgen.

    \b
    Example:
      pocketgen examples
    """
    if as_json:
        print_json([_example_json(example) for example in EXAMPLES.values()])
        return
    rows = [("name", "network", "rule", "data", "what")]
    for example in EXAMPLES.values():
        rule = type(example.model.rule).__name__
        rows.append((example.name, network(example.model), rule, example.data, example.title))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    for number, row in enumerate(rows):
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:4], widths, strict=True)]
        click.echo(click.style("  ".join([*cells, row[4]]), dim=number == 0))


def _example_json(example: Example) -> dict[str, object]:
    return {
        "name": example.name,
        "title": example.title,
        "network": network(example.model),
        "data": example.data,
        "epochs": example.epochs,
        "halve_every": example.halve_every,
        "reaches": example.reaches,
        "description": list(example.model.description),
    }


@click.command()
@model_argument
@click.option("-o", "--out", metavar="DIR", required=True, help="The folder to write.")
@click.option("--weights", metavar="F", help="Trained weights (a .pkt file) to put into the C.")
@click.option("--inference-only", is_flag=True, help="No training; weights in flash.")
@force_option
@json_option
def generate(
    model_word: str,
    out: str,
    weights: str | None,
    inference_only: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the C of MODEL into a folder that builds as it is.

    Files of an earlier run are updated; files that you edited are never overwritten without
    --force.

    \b
    Examples:
      pocketgen generate digits -o digits_c
      pocketgen generate mymodel.py -o firmware/net --weights run/weights.pkt --inference-only
    """
    model, _ = load_model(model_word)
    if inference_only and weights is None:
        raise PocketgenError("--inference-only needs --weights: an untrained network tells nothing")
    trained = None if weights is None else weights_of(model, weights)
    files = pocketgen.generate(model, weights=trained, inference_only=inference_only)
    result = output.write_files(out, files, force=force, owner=model.name)
    if as_json:
        print_json({**asdict(result), "folder": str(result.folder), "model": model.name})
        return
    for word, names in (
        ("wrote", result.written),
        ("unchanged", result.unchanged),
        ("removed", result.removed),
    ):
        if names:
            click.echo(f"{word} in {out}: {', '.join(names)}")
    remark(f"Build and test it: make -C {out} test")


@click.command("verify")
@model_argument
@click.option(
    "--steps", type=click.IntRange(1), default=200, show_default=True, help="Training steps."
)
@data_option
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Of the inputs."
)
@json_option
def verify_command(model_word: str, steps: int, data: str | None, seed: int, as_json: bool) -> None:
    """Compare C and numpy, every buffer after every step.

    Both train side by side. The inputs are random, of the extreme values only, and a ramp of period
    251; with --data also its samples. Exit status 1 if anything differs.

    \b
    Example:
      pocketgen verify digits --steps 500
    """
    model, example = load_model(model_word)
    pairs = None
    if data is not None:
        samples = load_data(data, example)
        check_fit(model, samples)
        pairs = (samples.x_train, samples.y_train)
    with stepping("comparing") as progress:
        result = verify(model, steps, pairs, seed, progress)
    if as_json:
        print_json(verification_json(result))
    else:
        click.echo(verification_line(result))
        click.echo(f"digests: C {result.digest_c:08x}, numpy {result.digest_numpy:08x}")
    if not result.agrees:
        raise click.exceptions.Exit(1)


@click.command()
@click.option(
    "--dir", "folder", metavar="DIR", default="generated", show_default=True, help="Where they are."
)
@click.option("--write", is_flag=True, help="Bring the folder up to date.")
@force_option
@json_option
def check(folder: str, write: bool, force: bool, as_json: bool) -> None:
    """Compare checked-in C with what is generated now.

    There is one folder for each example. Exit status 1 if anything differs; --write makes it equal.

    \b
    Examples:
      pocketgen check
      pocketgen check --write
    """
    root = Path(folder)
    if not write and not root.is_dir():
        raise PocketgenError(
            f"no folder {folder}: run this where it is, name it with --dir, or make it with --write"
        )
    generated = {name: pocketgen.generate(example.model) for name, example in EXAMPLES.items()}
    if write:  # all or none
        for name, files in generated.items():
            output.refuse_unsafe(root / name, files, force, EXAMPLES[name].model.name)
    report: dict[str, list[dict[str, object]]] = {}
    for name, files in generated.items():
        owner = EXAMPLES[name].model.name
        if write:
            result = output.write_files(root / name, files, force, owner)
            report[name] = [
                {"file": file, "is": word, "diff": []}
                for word, names in (("written", result.written), ("removed", result.removed))
                for file in names
            ]
        else:
            report[name] = [
                {"file": found.name, "is": found.kind, "diff": list(found.lines)}
                for found in output.differences(root / name, files, owner)
            ]
    for old in _without_example(root):
        report[old.name] = [{"file": output.MANIFEST, "is": "stale", "diff": []}]
        if write:
            removed = output.remove_files(old).removed
            report[old.name] = [{"file": name, "is": "removed", "diff": []} for name in removed]
    differing = sum(map(len, report.values()))
    if as_json:
        print_json({"folder": folder, "up_to_date": write or differing == 0, "examples": report})
    else:
        _print_check(root, report, write)
    if differing and not write:
        raise click.exceptions.Exit(1)


def _without_example(root: Path) -> Iterator[Path]:
    """Folders that pocketgen once wrote for an example that is gone."""
    for manifest in sorted(root.glob(f"*/{output.MANIFEST}")):
        if manifest.parent.name not in EXAMPLES:
            yield manifest.parent


def _print_check(root: Path, report: Mapping[str, list[dict[str, Any]]], write: bool) -> None:
    """The first lines of each difference, for people."""
    shown = 20
    for name, changes in report.items():
        for change in changes:
            click.echo(f"{change['is']}: {(root / name / change['file']).as_posix()}")
            diff = change["diff"]
            for line in diff[:shown]:
                color = {"+": "green", "-": "red"}.get(line[0] if line else "")
                click.echo("    " + click.style(line, fg=color))
            if len(diff) > shown:
                click.echo(f"    ... {len(diff) - shown} lines more")
    differing = sum(map(len, report.values()))
    if write:
        click.echo(f"{root}: {differing} files written or removed" if differing else "up to date")
    elif differing:
        click.echo(f"{differing} files differ; to bring them up to date: pocketgen check --write")
    else:
        click.echo(f"{root}: the C of {len(report)} examples is up to date")
