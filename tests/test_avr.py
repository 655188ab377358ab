"""Where int has 16 bits: the self-tests of small models on a simulated ATmega2560.

One program holds all models. A product or a sum that is not widened first, a constant that is no
16-bit int, a shift too far: a host with 32-bit int cannot see these.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import pocketgen as pg
from small_models import MODELS, TANH, Library, stack
from support import compiler

FLAGS = ("-std=c99", "-Os", "-mmcu=atmega2560", "-pedantic", "-Wall", "-Wextra", "-Wconversion",
         "-Wsign-conversion", "-Wshadow", "-Werror")  # fmt: skip


def model(name: str, taken: pg.Input, layers: list[pg.Dense], rule: pg.Rule) -> pg.Model:
    return pg.Model(name, taken, layers, rule, seed=3)


# Together they use every kernel, with weights up to their clamps, in 8 kB of RAM.
LIBRARIES = [
    Library(model("avr_dfa", pg.Input((9,)), stack((7, TANH), (5, TANH), (3, TANH)),
                  pg.DFA(lr_inv=2, batch=3, target=127)), "given", 32000),
    Library(model("avr_vector", pg.Input((5,), "int16", scale=pg.Scale(-900, 700, 12, "int16")),
                  stack((7, "pocket_leakyrelu"), (3, "pocket_leakyrelu")),
                  pg.DFA(lr_inv=3, batch=2, target="vector", target_range=(-30000, 30000))),
            "given", 90),
    Library(model("avr_start", pg.Input((6,), "int8"),
                  stack((6, "pocket_relu8bit"), (5, "pocket_sigmoid"), (3, "identity")),
                  pg.Backprop(lr_inv=40, batch=3, target=32767))),
    Library(model("avr_wide", pg.Input((300,)), stack((2, TANH), (2, TANH)),
                  pg.DFA(lr_inv=1, batch=2, wide_sums=True, feedback="seeded")), "given", 32767),
    Library(MODELS["features"], "given", 900),
    Library(MODELS["softmax"]),
    Library(MODELS["bytes"], "given", 127),
    Library(MODELS["raw"], "given", 120),
    Library(model("avr_steep", pg.Input((4,), "int16"), stack((5, "pocket_relu8bit"), (2, TANH)),
                  pg.Backprop(lr_inv=9, batch=2)), "given", 9000),
    Library(model("avr_trained", pg.Input((4,), "int8"), stack((5, TANH), (2, TANH)), pg.DFA()),
            "inference only", 32767),
]  # fmt: skip

MAIN = """\
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
{heads}
static void say(const char *text)
{{
    for (; *text; text++) {{
        while (!(UCSR0A & _BV(UDRE0))) {{ }}
        UDR0 = (uint8_t)*text;
    }}
}}

int main(void)
{{
    UCSR0B |= _BV(TXEN0);
{calls}
    say("end\\n");
    cli();
    sleep_enable();
    sleep_cpu(); /* with interrupts off: the simulator ends here */
    return 0;
}}
"""
HEAD = '#include "{0}.h"\nstatic {0}_t net_{0};'
CALL = '    say({0}_selftest(&net_{0}) == 0 ? "{0} passed\\n" : "{0} FAILED\\n");'


def printed(folder: Path, libraries: list[Library], spoil: tuple[str, str] = ("", "")) -> list[str]:
    """What a simulated ATmega2560 says of self-tests; spoil: a pattern in their C, and its end."""
    names = [library.model.name for library in libraries]
    files = {
        "main.c": MAIN.format(
            heads="\n".join(map(HEAD.format, names)), calls="\n".join(map(CALL.format, names))
        )
    }
    for library in libraries:
        files |= {name: text for name, text in library.files().items() if "/" not in name}
    spoilt = 0
    for name, text in files.items():
        if name.endswith((".c", ".h")):
            new, count = re.subn(*spoil, text) if spoil[0] else (text, 0)
            spoilt += count
            (folder / name).write_text(new, "utf-8")
    assert bool(spoilt) == bool(spoil[0])
    sources = [str(path) for path in folder.glob("*.c")]
    program = str(folder / "all.elf")
    built = subprocess.run(
        [compiler("avr-gcc"), *FLAGS, "-o", program, *sources],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    ran = subprocess.run(
        [compiler("simavr"), "-m", "atmega2560", "-f", "16000000", program],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    said = re.sub(r"\x1b\[\d*m", "", ran.stdout + ran.stderr)  # simavr colours what it passes on
    return re.findall(r"\w+ passed|\w+ FAILED|\bend\b", said)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return printed(tmp_path_factory.mktemp("avr"), LIBRARIES)


@pytest.mark.parametrize("name", [library.model.name for library in LIBRARIES])
def test_self_test_where_int_has_16_bits(said: list[str], name: str) -> None:
    assert f"{name} passed" in said


def test_all_of_them_ran(said: list[str]) -> None:
    assert len(said) == len(LIBRARIES) + 1
    assert said[-1] == "end"


def test_a_product_that_is_not_widened_is_seen(tmp_path: Path) -> None:
    product = r"sum \+= \(int32_t\)(\S+) \* ", r"sum += \1 * "
    assert "avr_dfa FAILED" in printed(tmp_path, LIBRARIES[:1], product)
