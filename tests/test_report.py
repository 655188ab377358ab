"""The report tells what bounds and plan have decided, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import pocketgen as pg
from pocketgen.cli import main
from pocketgen.examples import EXAMPLES
from pocketgen.report import report, spare
from small_models import MODELS
from support import compiler


@pytest.mark.parametrize(
    ("command", "pads"),
    [
        ("arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb", True),
        ("riscv64-unknown-elf-gcc -ffreestanding -march=rv32imac -mabi=ilp32", True),
        ("avr-gcc -mmcu=atmega2560", False),
    ],
)
def test_memory_is_what_a_microcontroller_takes(command: str, pads: bool, tmp_path: Path) -> None:
    tool, *flags = command.split()
    padded = 0
    for model in (*MODELS.values(), EXAMPLES["sensor"].model):
        found, name = report(model), model.name
        size = found.ram_bytes - (0 if pads else found.padding_bytes)
        padded += found.padding_bytes > 0
        (tmp_path / f"{name}.h").write_text(pg.generate(model)[f"{name}.h"], "utf-8")
        check = f"typedef char check[sizeof({name}_t) == {size}ul ? 1 : -1];"
        (tmp_path / "check.c").write_text(f'#include "{name}.h"\n{check}\n', "utf-8")
        subprocess.run(
            [compiler(tool), *flags, "-fsyntax-only", "check.c"], cwd=tmp_path, check=True
        )
    assert padded > 0, "no model shows what padding does"


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_memory_is_what_the_compiled_struct_takes(name: str) -> None:
    model = EXAMPLES[name].model
    found = report(model)
    net = pg.build(model, flags=("-O0",))
    size = int(net._engine.ffi.sizeof(f"{model.name}_t"))
    assert found.ram_bytes == size
    rows = sum(row.bytes for row in found.memory if row.place == "RAM")
    assert found.ram_bytes - found.padding_bytes == rows
    assert found.flash_bytes == sum(row.bytes for row in found.memory if row.place == "flash")


def test_the_published_network_tightens_its_first_layer_and_says_so() -> None:
    found = report(EXAMPLES["pocketnn"].model)
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
    assert frozen.flash_bytes == sum(values.size for values in weights.values())  # high bytes


def test_the_command_line_prints_it_as_text_and_as_json() -> None:
    text = CliRunner().invoke(main, ["report", "sensor"])
    assert text.exit_code == 0
    assert "bits to spare" in text.output
    found = json.loads(CliRunner().invoke(main, ["report", "sensor", "--json"]).output)
    assert found["ram_bytes"] == report(EXAMPLES["sensor"].model).ram_bytes
    assert {"worst", "limit", "bits_to_spare"} <= set(found["sums"][0])
    assert CliRunner().invoke(main, ["report", "sensor", "--inference-only"]).exit_code == 2


def test_the_stack_is_told_for_a_compiler() -> None:
    compiler("gcc")
    text = CliRunner().invoke(main, ["report", "xor", "--stack", "gcc -O1"])
    assert text.exit_code == 0, text.output
    assert "worst-case stack, by gcc -O1" in text.output
    json_text = CliRunner().invoke(main, ["report", "xor", "--stack", "gcc -O1", "--json"]).output
    found = json.loads(json_text)["stack"]
    assert found["command"] == "gcc -O1"
    depths = {row["function"]: row["bytes"] for row in found["functions"]}
    deepest = depths["xor_net_train_step"]
    assert re.search(rf"^xor_net_train_step +{deepest} bytes", text.output, re.MULTILINE)
    assert deepest > depths["xor_net_digest"] >= 0


@pytest.mark.parametrize("command", ["no-such-gcc -O2", "gcc --no-such-flag", "'", ""])
def test_a_compiler_that_tells_no_stack(command: str) -> None:
    compiler("gcc")
    done = CliRunner().invoke(main, ["report", "xor", "--stack", command])
    assert done.exit_code == 2
    assert "RAM" not in done.output


def test_clamped_weights_are_counted_alike_in_a_debug_build_and_in_python(tmp_path: Path) -> None:
    """A rate of 1 drives weights into their clamp at once."""
    rule = pg.DFA(lr_inv=1, batch=1, target=127)
    model = pg.Model("m", pg.Input((4,)), [pg.Dense(3), pg.Dense(2, "identity")], rule)
    net = pg.build(model, engine="numpy")
    x, y = np.full((9, 4), 255, np.uint8), np.arange(9, dtype=np.uint16) % 2
    history = net.fit(x, y, epochs=1, order=np.arange(9)[np.newaxis])
    at_clamp = {
        name: int((abs(values.astype(int)) == 32767).sum())
        for name, values in net.weights().items()
    }
    assert history.epochs[-1].clamped == at_clamp
    assert sum(at_clamp.values()) > 0

    for name, text in pg.generate(model).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    main_c = """#include "m.h"
    static m_t net;
    int main(void)
    {
        const m_input_t x[4] = {255, 255, 255, 255};
        uint16_t i;

        m_init(&net, M_SEED);
        if (m_clamped() != 0) {
            return 1;
        }
        for (i = 0; i < 9; i++) {
            m_train_step(&net, x, i % 2u);
        }
        return m_clamped() > 0 ? 0 : 2;
    }
    """
    (tmp_path / "main.c").write_text(main_c, encoding="utf-8")
    sources = [path.name for path in tmp_path.glob("*.c")]
    command = [compiler("gcc"), "-std=c99", "-Wall", "-Wextra", "-Werror", "-DM_DEBUG", *sources]
    subprocess.run([*command, "-o", "main"], cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == 0
