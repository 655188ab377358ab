"""The command demo: everything that pocketgen does, once, on built-in data."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import pocketgen
from pocketgen import output
from pocketgen.cli.arguments import force_option, json_option
from pocketgen.cli.terminal import (
    TrainingBar,
    confusion_lines,
    network,
    percent,
    print_json,
    remark,
    remark_end,
    stepping,
    verification_json,
    verification_line,
)
from pocketgen.cli.training import confusion
from pocketgen.examples import EXAMPLES
from pocketgen.host import compiler
from pocketgen.verify import verify


@click.command()
@click.option(
    "--out", metavar="DIR", default="pocketgen-demo", show_default=True, help="The C goes here."
)
@force_option
@json_option
def demo(out: str, force: bool, as_json: bool) -> None:
    """Train, verify, generate, build and test, in a few seconds.

    A classifier of handwritten digits, from the description to the tested C project.

    \b
    Example:
      pocketgen demo --out elsewhere
    """
    say = remark if as_json else click.echo
    example = EXAMPLES["digits"]
    model, data = example.model, example.load()
    compiler()  # without one, say so before anything else
    output.refuse_unsafe(out, pocketgen.generate(model), force, model.name)

    say(_title(1, "Train", "in generated C, compiled for this machine; integers only"))
    net = pocketgen.build(model)
    count = len(data.x_train)
    say(f"  {network(model)}, direct feedback alignment, {count} digits of 8 x 8 pixels")
    with TrainingBar("test", lines=4, indent="  ") as bar:
        history = net.fit(
            data.x_train,
            data.y_train,
            example.epochs,
            validation_data=(data.x_test, data.y_test),
            halve_every=example.halve_every,
            progress=bar,
        )
    remark_end(history, example.epochs)
    measured = net.evaluate(data.x_test, data.y_test)
    matrix = confusion(net, data.x_test, data.y_test)
    seconds = sum(row.seconds for row in history.epochs)
    say(
        f"  {len(history.epochs)} epochs in {seconds:.2f} s: "
        f"{click.style(percent(measured['accuracy']), bold=True)} of {measured['samples']} "
        "digits that it has not seen right"
    )
    say("  rows: true digit, columns: predicted")
    for line in confusion_lines(matrix, data.classes):
        say("  " + line)

    say(_title(2, "Verify", "C against numpy: random, extreme and real inputs"))
    with stepping("  comparing") as progress:
        result = verify(model, 400, (data.x_train, data.y_train), progress=progress)
    say("  " + verification_line(result))

    say(_title(3, "Write", f"the C project, trained weights inside: {out}"))
    files = pocketgen.generate(model, weights=net.weights())
    written = output.write_files(out, files, force=force, owner=model.name)
    names = sorted((*written.written, *written.unchanged))
    say(click.wrap_text(" ".join(names), 90, "  ", "  "))

    say(_title(4, "Build", "the project, and run its self-test"))
    passed, how = _build_and_test(Path(out), model.name)
    say(f"  {how}")

    if as_json:
        print_json(
            {
                "accuracy": measured["accuracy"],
                "seconds_of_training": seconds,
                "confusion": matrix.tolist(),
                "history": history.to_dict(),
                "verification": verification_json(result),
                "folder": out,
                "files": names,
                "selftest": "passed" if passed else "failed",
            }
        )
    elif passed and result.agrees:
        _say_next(out, model.name)
    if not (passed and result.agrees):
        raise click.exceptions.Exit(1)


def _title(number: int, verb: str, what: str) -> str:
    return f"\n{click.style(f'{number} {verb}', fg='cyan', bold=True)} {what}"


def _say_next(out: str, prefix: str) -> None:
    click.echo(f"\n{click.style('Next', fg='cyan', bold=True)}")
    for command, what in (
        (f"less {out}/{prefix}.h", "the interface, with its memory table"),
        (f"add_subdirectory({out})", f"in your CMakeLists.txt, then link {prefix}"),
        ("pocketgen examples", "other models to start from"),
        ("pocketgen train mymodel.py --data D", "your own model on your own data"),
    ):
        click.echo(f"  {command:<38} {what}")


def _build_and_test(folder: Path, prefix: str) -> tuple[bool, str]:
    """Build a generated project with make, or without make by one call of the compiler; test it.

    Whether the self-test passed, and in a line how, or what went wrong.
    """
    command = compiler()
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
    if shutil.which("make"):
        called = ["make", "--no-print-directory", "-C", str(folder), f"CC={' '.join(command)}"]
        result = _run([*called, "test"], environment)
        _run([*called, "clean"], environment)
        words = f"make -C {folder} test"
    else:
        with tempfile.TemporaryDirectory(prefix="pocketgen-") as scratch:
            program = str(Path(scratch, "selftest"))
            sources = [*folder.glob("*.c"), *folder.glob("host/*.c")]
            built = ["-std=c99", "-O2", f"-I{folder}", "-o", program, *map(str, sorted(sources))]
            result = _run([*command, *built], environment)
            if result.returncode == 0:
                result = _run([program], environment)
        words = f"{' '.join(command)} *.c host/*.c, without make"
    if result.returncode == 0:
        return True, f"{words}: {prefix}_selftest() passed"
    said = (result.stderr.strip() or result.stdout.strip()).splitlines()
    return False, f"{words} failed: {said[-1] if said else f'status {result.returncode}'}"


def _run(command: Sequence[str], environment: Mapping[str, str]) -> Any:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
