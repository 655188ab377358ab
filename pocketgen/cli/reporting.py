"""The command report: what a model needs and how safe it is."""

from __future__ import annotations

import click

from pocketgen.cli.arguments import json_option, load_model, model_argument, weights_of
from pocketgen.cli.terminal import print_json
from pocketgen.errors import PocketgenError
from pocketgen.report import report


@click.command("report")
@model_argument
@click.option("--weights", metavar="F", help="Trained weights (a .pkt file).")
@click.option("--inference-only", is_flag=True, help="The variant that only predicts.")
@json_option
def report_command(
    model_word: str, weights: str | None, inference_only: bool, as_json: bool
) -> None:
    """Tell memory, work, and the worst case of every sum.

    For each sum in the generated C: the largest magnitude that any input and any weights in range
    can bring about, its limit, and how many bits are left; and which weight clamps were tightened.

    \b
    Example:
      pocketgen report mnist
    """
    model, _ = load_model(model_word)
    if inference_only and weights is None:
        raise PocketgenError("--inference-only needs --weights: train the model first")
    trained = None if weights is None else weights_of(model, weights)
    found = report(model, trained, inference_only)
    if as_json:
        print_json(found.to_json())
        return
    for line in found.lines():
        click.echo(line)
