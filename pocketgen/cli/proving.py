"""The command prove: a proof of the generated C by an independent tool."""

from __future__ import annotations

import json
from pathlib import Path

import click

import pocketgen
from pocketgen.bounds import bounds
from pocketgen.cli.arguments import json_option, load_model, model_argument, weights_of
from pocketgen.cli.terminal import print_json, remark
from pocketgen.errors import PocketgenError
from pocketgen.lower import lower
from pocketgen.plan import plan
from pocketgen.prove import Proof, Run, prove
from pocketgen.selftest import vectors

WIDTHS = {"32": (32,), "16": (16,), "both": (32, 16)}


@click.command("prove")
@model_argument
@click.option("--weights", metavar="F", help="Trained weights (a .pkt file) to put into the C.")
@click.option("--inference-only", is_flag=True, help="The variant that only predicts.")
@click.option(
    "--int",
    "width",
    type=click.Choice(list(WIDTHS)),
    default="both",
    show_default=True,
    help="How wide int is: 16 bits on AVR.",
)
@click.option("--certificate", metavar="FILE", help="Write the certificate, as JSON.")
@json_option
def prove_command(
    model_word: str,
    weights: str | None,
    inference_only: bool,
    width: str,
    certificate: str | None,
    as_json: bool,
) -> None:
    """Prove that the C of MODEL is free of undefined behaviour.

    Frama-C's EVA analyses the C for all inputs, labels, bytes to load, and weights in range, and
    shows that a training step leaves all ranges as they were. Exit status 1 if anything is left
    open. docs/safety.md tells what follows, and what does not. Needs Frama-C 25.

    \b
    Example:
      pocketgen prove digits --certificate digits_proof.json
    """
    model, _ = load_model(model_word)
    if inference_only and weights is None:
        raise PocketgenError("--inference-only needs --weights: train the model first")
    trained = None if weights is None else weights_of(model, weights)
    program = bounds(lower(model, trained, None, inference_only))
    made = plan(program, vectors(program), pocketgen.__version__)
    remark(f"Frama-C analyses {program.name}; large models take a minute or more.")
    proof = prove(made, WIDTHS[width])
    if certificate is not None:
        text = json.dumps(proof.to_json(), indent=2) + "\n"
        Path(certificate).write_text(text, "utf-8")
    if as_json:
        print_json(proof.to_json())
    else:
        for line in proof_lines(proof):
            click.echo(line)
    if not proof.proven:
        raise click.exceptions.Exit(1)


def proof_lines(proof: Proof) -> list[str]:
    """The outcome for people."""
    lines = [line for run in proof.runs for line in run_lines(run)]
    verdict = "proven" if proof.proven else "NOT proven"
    widths = " and ".join(dict.fromkeys(str(run.int_bits) for run in proof.runs))
    lines.append(f"{proof.model}: {verdict} for int of {widths} bits by Frama-C {proof.frama_c}")
    return lines


def run_lines(run: Run) -> list[str]:
    """One run in a line, and a line for everything that it left open."""
    outcome = "no alarm" if not run.alarms else f"{len(run.alarms)} alarms"
    head = (
        f"int {run.int_bits}, {run.what}: {outcome}, {run.checks[0]} of {run.checks[1]} checks "
        f"shown, {run.functions[0]} of {run.functions[1]} functions and {run.statements[0]} of "
        f"{run.statements[1]} statements reached, {run.seconds:.1f} s"
    )
    alarms = [f"    {a.file}:{a.line}: {a.kind} in {a.function}: {a.condition}" for a in run.alarms]
    unreached = [f"    not reached: {place}" for place in run.unreached]
    return [head, *unreached, *alarms, *(f"    {problem}" for problem in run.problems)]
