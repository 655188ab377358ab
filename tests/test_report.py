"""The report tells what bounds and plan have decided, and nothing else."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import pocketgen as pg
from pocketgen.cli import main
from pocketgen.examples import EXAMPLES
from pocketgen.report import report, spare


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_memory_is_what_the_compiled_struct_takes(name: str) -> None:
    model = EXAMPLES[name].model
    found = report(model)
    net = pg.build(model, flags=("-O0",))
    size = int(net._engine.ffi.sizeof(f"{model.name}_t"))
    assert found.ram_bytes <= size < found.ram_bytes + 8
    assert found.ram_bytes == sum(row.bytes for row in found.memory if row.place == "RAM")
    assert found.flash_bytes == sum(row.bytes for row in found.memory if row.place == "flash")


def test_mnist_tightens_the_first_layer_and_says_so() -> None:
    found = report(EXAMPLES["mnist"].model)
    clamps = {row.name: row for row in found.clamps}
    assert (clamps["W1"].asked, clamps["W1"].clamp, clamps["W1"].tightened) == (32767, 10741, True)
    assert not any(row.tightened for name, row in clamps.items() if name != "W1")
    assert "W1 is clamped to ±10741, tightened from ±32767: 32-bit sums" in found.lines()
    assert found.predict_macs == 784 * 100 + 100 * 50 + 50 * 10
    worst = next(row for row in found.sums if row.kernel == "dense_forward" and row.layer == 1)
    assert worst.worst == 784 * 255 * 10741 + 32767
    assert worst.bits_to_spare == 0


def test_every_sum_stays_within_its_limit() -> None:
    for example in EXAMPLES.values():
        found = report(example.model)
        assert {row.function for row in found.sums} == {"forward", "train"}
        for row in found.sums:
            assert row.worst <= row.limit == 2 ** (row.bits - 1) - 1
            assert row.worst << row.bits_to_spare <= row.limit
            assert row.worst == 0 or row.worst << (row.bits_to_spare + 1) > row.limit


def test_bits_to_spare() -> None:
    limit = 2**31 - 1
    assert [spare(w, limit) for w in (limit, 2**30, 2**30 - 1, 1, 0)] == [0, 0, 1, 30, 30]


def test_inference_only_needs_no_memory_for_training() -> None:
    model = EXAMPLES["digits"].model
    weights = pg.build(model, engine="numpy").weights()
    learning, frozen = report(model), report(model, weights, inference_only=True)
    assert frozen.train_macs == 0
    assert frozen.ram_bytes < learning.ram_bytes // 10
    assert frozen.flash_bytes == sum(2 * values.size for values in weights.values())


def test_the_command_line_prints_it_as_text_and_as_json() -> None:
    text = CliRunner().invoke(main, ["report", "sensor"])
    assert text.exit_code == 0
    assert "bits to spare" in text.output
    found = json.loads(CliRunner().invoke(main, ["report", "sensor", "--json"]).output)
    assert found["ram_bytes"] == report(EXAMPLES["sensor"].model).ram_bytes
    assert {"worst", "limit", "bits_to_spare"} <= set(found["sums"][0])
    assert CliRunner().invoke(main, ["report", "sensor", "--inference-only"]).exit_code == 2
