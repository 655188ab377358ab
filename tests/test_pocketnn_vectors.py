"""Both engines repeat the recorded runs of PocketNN's published program, every buffer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import oracle
import pocketgen as pg
from support import repository_root

recordings = sorted((repository_root / "tests" / "vectors" / "pocketnn").glob("*.npz"))


def model_of(meta: dict, dtype: str, batch: int) -> pg.Model:
    rules = {"dfa": pg.DFA, "bp": pg.Backprop}
    return pg.Model(
        "recorded",
        pg.Input((meta["dims"][0],), dtype),
        [pg.Dense(units, meta["activation"]) for units in meta["dims"][1:]],
        rules[meta["rule"]](lr_inv=meta["lr_inv"], batch=batch, target=meta["target"]),
    )


def input_dtype(recorded: dict[str, np.ndarray]) -> str:
    """The narrowest input type that holds every recorded input."""
    inputs = [array for name, array in recorded.items() if name.startswith("x_")]
    low, high = min(x.min() for x in inputs), max(x.max() for x in inputs)
    holding = (
        dtype
        for dtype in ("uint8", "int8", "int16")
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max
    )
    return next(holding)


# A batch smaller than the capacity must not differ from one that fills it.
@pytest.mark.parametrize("spare", [0, 3], ids=["full", "partial"])
@pytest.mark.parametrize("engine", ["c", "numpy"])
@pytest.mark.parametrize("path", recordings, ids=lambda path: path.stem)
def test_recorded_run(path: Path, engine: str, spare: int) -> None:
    with np.load(path) as recording:
        recorded = dict(recording)
    meta = json.loads(str(recorded.pop("meta")))
    layers, n = range(len(meta["dims"]) - 1), meta["batch"]
    W = [recorded.pop(f"W0_{k}") for k in layers]
    b = [recorded.pop(f"b0_{k}")[0] for k in layers]
    R = [recorded.pop(f"R_{k}") for k in layers[:-1]] if meta["rule"] == "dfa" else []
    named = {f"W{k + 1}": W[k] for k in layers} | {f"b{k + 1}": b[k] for k in layers}
    net = pg.build(
        model_of(meta, input_dtype(recorded), n + spare),
        weights=named,
        feedback={f"R{k + 1}": matrix for k, matrix in enumerate(R)} or None,
        engine=engine,
        flags=("-O1",) if engine == "c" else None,
    )
    judge = oracle.Network([meta["activation"]] * len(layers), W, b, meta["lr_inv"], R)

    for k, matrix in enumerate(R):
        np.testing.assert_array_equal(net.buffers[f"R{k + 1}"], matrix)
    for s in range(meta["steps"]):
        x, y = recorded.pop(f"x_s{s}"), recorded.pop(f"y_s{s}")
        output = recorded.pop(f"out_s{s}")
        np.testing.assert_array_equal(net.forward(x), output)
        np.testing.assert_array_equal(net.predict(x), output.argmax(axis=1))
        net.train_batch(x, y.argmax(axis=1))
        trace = judge.train(x, y)
        np.testing.assert_array_equal(net.buffers["e"][:n], output - y)
        for k in layers:
            where = f"step {s}, layer {k + 1}"
            for name in ("h", "a", "g"):
                seen = net.buffers[f"{name}{k + 1}"][:n]
                np.testing.assert_array_equal(seen, recorded.pop(f"{name}_s{s}_{k}"), where + name)
            np.testing.assert_array_equal(net.buffers[f"delta{k + 1}"][:n], trace.delta[k], where)
            np.testing.assert_array_equal(net.buffers[f"W{k + 1}"], recorded.pop(f"W_s{s}_{k}"))
            np.testing.assert_array_equal(net.buffers[f"b{k + 1}"], recorded.pop(f"b_s{s}_{k}")[0])
    assert not recorded, "arrays that nothing was compared with"
