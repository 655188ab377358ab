"""The command report: what a model needs and how safe it is."""

from __future__ import annotations

import shlex

import click

import pocketgen
from pocketgen.cli.arguments import json_option, load_model, model_argument, weights_of
from pocketgen.cli.terminal import print_json
from pocketgen.errors import PocketgenError
from pocketgen.report import report
from pocketgen.stack import stack


@click.command("report")
@model_argument
@click.option("--weights", metavar="F", help="Trained weights (a .pkt file).")
@click.option("--inference-only", is_flag=True, help="The variant that only predicts.")
@click.option(
    "--stack",
    "compiler",
    metavar="GCC",
    help='Also the worst-case stack, by a gcc and its flags, such as "gcc -O2".',
)
@json_option
def report_command(
    model_word: str, weights: str | None, inference_only: bool, compiler: str | None, as_json: bool
) -> None:
    """Tell memory, work, and the worst case of every sum.

    For each sum in the generated C: the largest magnitude that any input and any weights in range
    can bring about, its limit, and how many bits are left; and which weight clamps were tightened.

    \b
    Example:
      pocketgen report mnist
      pocketgen report sensor --stack "arm-none-eabi-gcc -O2 -mcpu=cortex-m4 -mthumb"
    """
    model, _ = load_model(model_word)
    if inference_only and weights is None:
        raise PocketgenError("--inference-only needs --weights: train the model first")
    trained = None if weights is None else weights_of(model, weights)
    found = report(model, trained, inference_only)
    depth = None
    if compiler is not None:
        files = pocketgen.generate(model, weights=trained, inference_only=inference_only)
        depth = stack(files, command_words(compiler))
    if as_json:
        print_json(found.to_json() | ({"stack": depth.to_json()} if depth else {}))
        return
    for line in [*found.lines(), *(depth.lines() if depth else ())]:
        click.echo(line)


def command_words(text: str) -> list[str]:
    """A command as a shell would split it; PocketgenError where there is none."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words:
        raise PocketgenError(f"--stack {text!r} is no command; name a gcc and its flags")
    return words
