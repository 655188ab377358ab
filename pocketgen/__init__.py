"""pocketgen: integer-only neural networks as C99 that trains, runs and proves itself.

The pipeline is a list of pure functions, and so is this package's layout: model, layers, lower,
bounds, plan, render; then the reference in numpy and the host that compiles the C.
"""

from __future__ import annotations

from collections.abc import Sequence

from pocketgen.bounds import bounds
from pocketgen.layers import Dense
from pocketgen.lower import Weights, lower
from pocketgen.model import Input, Model, Scale
from pocketgen.net import EngineName, Net
from pocketgen.plan import plan
from pocketgen.render import render
from pocketgen.rules import DFA, Backprop, CrossEntropyBackprop, CrossEntropyDFA
from pocketgen.selftest import vectors

__version__ = "0.1.0"
__all__ = [
    "DFA",
    "Backprop",
    "CrossEntropyBackprop",
    "CrossEntropyDFA",
    "Dense",
    "Input",
    "Model",
    "Net",
    "Scale",
    "build",
    "generate",
]


def generate(
    model: Model,
    weights: Weights | None = None,
    feedback: Weights | None = None,
    inference_only: bool = False,
) -> dict[str, str]:
    """The C of a model: {file name: text}.

    weights: W1 (fan_in, fan_out), b1 (fan_out,), …, integers; training starts from them, an
    inference-only library holds them in flash. feedback: R1 (classes, units), … in place of the
    matrices drawn from the model's seed. Raises ModelError, UnsafeModelError or DataError.
    """
    program = bounds(lower(model, weights, feedback, inference_only))
    return render(plan(program, vectors(program), __version__))


def build(
    model: Model,
    weights: Weights | None = None,
    feedback: Weights | None = None,
    engine: EngineName = "c",
    flags: Sequence[str] | None = None,
    inference_only: bool = False,
) -> Net:
    """The model at work: generated, compiled, loaded, and started.

    weights, feedback, inference_only: as for generate. engine: "c" runs the generated C, "numpy"
    the reference; both give the same bits. flags: for the C compiler, by default -O3 for this
    machine. Raises ModelError, UnsafeModelError, DataError or CompilerError.
    """
    program = bounds(lower(model, weights if inference_only else None, feedback, inference_only))
    made = plan(program, vectors(program), __version__)
    net = Net(model, program, made, engine, flags)
    if weights is not None and not inference_only:
        net.set_weights(weights)
    return net
