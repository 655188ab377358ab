"""What users write: every mistake is refused in one clear line, and digests follow the meaning."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pocketgen as pg
from kernels.single import limited, trunc
from pocketgen.errors import DataError, ModelError, PocketgenError
from pocketgen.layers.dense import ACTIVATIONS
from pocketgen.lower import lower
from pocketgen.model import SCALED_LIMITS
from small_models import some_weights
from support import compiler

INPUT = pg.Input((4,))
LAYERS = (pg.Dense(3), pg.Dense(2))


def model(**changes: object) -> pg.Model:
    parts = {"name": "m", "input": INPUT, "layers": LAYERS, "rule": pg.DFA(), **changes}
    return pg.Model(**parts)


def refused(make: Callable[[], object], *words: object, error: type = ModelError) -> None:
    """make raises one line that holds all the words."""
    with pytest.raises(error) as caught:
        make()
    message = str(caught.value)
    assert isinstance(caught.value, PocketgenError)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message


# --- the name -----------------------------------------------------------------------------------

C_WORDS = """
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while
"""
CPP_WORDS = """
    alignas alignof and and_eq asm bitand bitor bool catch class compl const_cast constexpr decltype
    delete dynamic_cast explicit export false friend mutable namespace new noexcept not not_eq
    nullptr operator or or_eq private protected public reinterpret_cast static_assert static_cast
    template this thread_local throw true try typeid typename using virtual wchar_t xor xor_eq
"""


@pytest.mark.parametrize("name", ["m", "M", "mnist", "Net2", "a_b", "x" * 32, "net", "k", "row"])
def test_good_names(name: str) -> None:
    assert model(name=name).name == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "1st", "_net", "my-net", "my net", "net.c", "net\n", "naïve", "a/b", "../a", "日本"],
)
def test_names_that_are_no_c_prefix(name: str) -> None:
    refused(lambda: model(name=name), repr(name), "C prefix", "letters, digits and _")


@pytest.mark.parametrize("name", [None, 5, b"net", ["net"], 1.5])
def test_names_that_are_no_text(name: object) -> None:
    refused(lambda: model(name=name), repr(name))


@pytest.mark.parametrize("name", [*C_WORDS.split(), *CPP_WORDS.split(), "Int", "WHILE"])
def test_names_that_are_words_of_c_and_cpp(name: str) -> None:
    refused(lambda: model(name=name), repr(name), "word of C")


@pytest.mark.parametrize("name", ["a__b", "net_", "a__"])
def test_names_with_two_underscores(name: str) -> None:
    refused(lambda: model(name=name), repr(name), "two underscores")


def test_names_that_are_too_long() -> None:
    refused(lambda: model(name="x" * 33), "x" * 33, 33, 32)


@pytest.mark.parametrize(
    "name",
    [
        "int8",
        "uint16",
        "int_fast16",
        "uint_least32",
        "intmax",
        "uintptr",
        "size",
        "ptrdiff",
        "wchar",
    ],
)
def test_names_whose_type_the_standard_has(name: str) -> None:
    """The model's struct would be called int8_t, size_t and so on."""
    refused(lambda: model(name=name), repr(name))


@pytest.mark.parametrize("name", ["stdint", "stddef", "Features", "newlib", "yvals", "assert"])
def test_names_whose_header_the_standard_has(name: str) -> None:
    """The generated files include <stdint.h>, and are compiled with their folder in the path."""
    refused(lambda: model(name=name), repr(name))


LIBRARY_HEADERS = ("stdint", "stddef", "stdlib", "string", "stdio", "time", "limits", "inttypes")


@pytest.mark.parametrize(
    "command",
    [
        "gcc",
        "g++ -x c++",
        "clang",
        "arm-none-eabi-gcc",
        "avr-gcc -mmcu=atmega2560",
        "riscv64-unknown-elf-gcc --specs=picolibc.specs",
    ],
)
def test_no_model_hides_a_header_that_a_library_includes(command: str, tmp_path: Path) -> None:
    """All that the headers of glibc, newlib, picolibc and avr-libc include by a simple name."""
    source = tmp_path / "all.c"
    source.write_text("".join(f"#include <{name}.h>\n" for name in LIBRARY_HEADERS), "utf-8")
    tool, *flags = command.split()
    listed = subprocess.run(
        [compiler(tool), *flags, "-M", source], capture_output=True, text=True, check=True
    )
    headers = [Path(word) for word in listed.stdout.split() if word.endswith(".h")]
    assert len(headers) > 8
    text = "\n".join(header.read_text("latin-1") for header in headers)
    names = set(re.findall(r"^\s*#\s*include(?:_next)?\s*[<\"](\w+)\.h[>\"]", text, re.MULTILINE))
    assert "stdint" in {header.stem for header in headers}
    for name in sorted(name for name in names if name[0].isalpha()):
        refused(lambda name=name: model(name=name), repr(name))


def test_a_model_may_be_called_as_what_drives_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or else the name must be refused: host.c is then the driver's name and the model's."""
    monkeypatch.setenv("POCKETGEN_CACHE", str(tmp_path))
    try:
        net = pg.build(model(name="host"), engine="c", flags=("-O0",))
    except ModelError:
        return
    assert net.forward([[1, 2, 3, 4]]).tolist() == [[0, 0]]


# --- the input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "features"),
    [((4,), 4), ([4], 4), (4, 4), ((28, 28), 784), ((2, 3, 4), 24), ((65535,), 65535)],
)
def test_good_shapes(shape: object, features: int) -> None:
    made = pg.Input(shape)
    assert made.features == features
    assert isinstance(made.shape, tuple)


@pytest.mark.parametrize(
    "shape", [(), (0,), (-1,), (4, 0), (2.5,), 0, -3, True, (True,), None, "784", ("4",), (None,)]
)
def test_bad_shapes(shape: object) -> None:
    refused(lambda: pg.Input(shape), "input: shape", "positive")


@pytest.mark.parametrize("shape", [(65536,), (256, 256), (2**40, 2**40)])
def test_too_many_features(shape: tuple[int, ...]) -> None:
    refused(lambda: pg.Input(shape), np.prod(shape, dtype=object), 65535)


@pytest.mark.parametrize(
    "dtype", ["float32", "int32", "uint32", "int64", "bool", "", None, "UINT8"]
)
def test_bad_dtypes(dtype: object) -> None:
    refused(lambda: pg.Input((4,), dtype), repr(dtype), "uint8, int8, uint16, int16")


@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        ("uint8", (-1, 5)),
        ("uint8", (0, 256)),
        ("int8", (-129, 0)),
        ("int16", (0, 32768)),
        ("uint8", (5, 5)),
        ("uint8", (9, 5)),
    ],
)
def test_bad_ranges(dtype: str, given: tuple[int, int]) -> None:
    refused(lambda: pg.Input((4,), dtype, given), "input: range", given, dtype)


@pytest.mark.parametrize("given", [(0.5, 3), (0, 3.0), (True, 5), ("0", "9"), (None, 3)])
def test_ranges_that_are_no_integers(given: tuple) -> None:
    refused(lambda: pg.Input((4,), "uint8", given), "range")


@pytest.mark.parametrize("given", [(1,), (), (0, 1, 2), 5, "ab"])
def test_ranges_that_are_no_pairs(given: object) -> None:
    refused(lambda: pg.Input((4,), "uint8", given), "range")


def test_limits() -> None:
    assert (pg.Input((4,)).limits.low, pg.Input((4,)).limits.high) == (0, 255)
    narrow = pg.Input((4,), "int16", [-5, 9])
    assert (narrow.limits.low, narrow.limits.high) == narrow.range == (-5, 9)


# --- layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [0, -1, -65536, 65536, 10**12])
def test_bad_units(units: int) -> None:
    refused(lambda: model(layers=[pg.Dense(3), pg.Dense(units)]), "layer 2", units, "1..65535")


@pytest.mark.parametrize("units", [2.0, True, "10", None, (3,)])
def test_units_that_are_no_integers(units: object) -> None:
    refused(lambda: model(layers=[pg.Dense(units)]), "layer 1: units", repr(units))


@pytest.mark.parametrize(
    ("activation", "near"),
    [
        ("pocket_tan", "pocket_tanh"),
        ("pockettanh", "pocket_tanh"),
        ("pocket_relu", "pocket_relu8bit"),
        ("pocket_sigmod", "pocket_sigmoid"),
        ("leakyrelu", "pocket_leakyrelu"),
        ("Identity", "identity"),
    ],
)
def test_unknown_activations_with_a_near_one(activation: str, near: str) -> None:
    refused(
        lambda: model(layers=[pg.Dense(3), pg.Dense(2, activation)]),
        f"layer 2: unknown activation {activation!r}",
        f"did you mean {near!r}?",
        *ACTIVATIONS,
    )


@pytest.mark.parametrize("activation", ["softmax", "", None, 3, "xyzzy"])
def test_unknown_activations(activation: object) -> None:
    with pytest.raises(ModelError) as caught:
        model(layers=[pg.Dense(3, activation)])
    assert "did you mean" not in str(caught.value)
    refused(lambda: model(layers=[pg.Dense(3, activation)]), repr(activation), *ACTIVATIONS)


def test_no_layers() -> None:
    refused(lambda: model(layers=[]), "no layers", "at least one")


@pytest.mark.parametrize("layer", ["Dense", 10, None, pg.Dense, pg.DFA(), INPUT])
def test_unknown_layers(layer: object) -> None:
    refused(lambda: model(layers=[pg.Dense(3), layer]), "layer 2: unknown layer", "Dense")


@pytest.mark.parametrize("layers", [pg.Dense(3), None, 5])
def test_layers_that_are_no_list(layers: object) -> None:
    refused(lambda: model(layers=layers), "layers")


@pytest.mark.parametrize("given", [None, (4,), "uint8", pg.Input])
def test_an_input_that_is_none(given: object) -> None:
    refused(lambda: model(input=given), "input")


# --- rules --------------------------------------------------------------------------------------

RULES = (pg.DFA, pg.Backprop)
NO_COUNT = [0, -1, 1.5, True, "1000", None]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("name", "limit", "value"),
    [("lr_inv", 2**31 - 1, v) for v in [*NO_COUNT, 2**31]]
    + [("batch", 65535, v) for v in [*NO_COUNT, 65536]],
)
def test_bad_rates_and_batches(rule: type, name: str, limit: int, value: object) -> None:
    refused(
        lambda: model(rule=rule(**{name: value})), f"{rule.__name__}: {name}", repr(value), limit
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("target", [0, 32768, -32768, 1.5, True, "vectors", "", None])
def test_bad_targets(rule: type, target: object) -> None:
    refused(lambda: model(rule=rule(target=target)), "target is", repr(target), 32767, "'vector'")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("given", [(5, 5), (9, -9), (-32768, 0), (0, 32768)])
def test_bad_target_ranges(rule: type, given: tuple[int, int]) -> None:
    refused(lambda: model(rule=rule(target="vector", target_range=given)), "target_range", *given)


@pytest.mark.parametrize("given", [(-1.5, 3), (0, 3.0), (True, 5), ("a", "b"), (1,), (1, 2, 3), 5])
def test_target_ranges_that_are_no_pairs_of_integers(given: object) -> None:
    refused(lambda: model(rule=pg.DFA(target="vector", target_range=given)), "target_range")


def test_a_target_range_without_targets() -> None:
    refused(lambda: model(rule=pg.DFA(target_range=(-5, 5))), "target_range", "'vector'")


@pytest.mark.parametrize("feedback", ["random", "", None, True, 5])
def test_bad_feedback(feedback: object) -> None:
    refused(lambda: model(rule=pg.DFA(feedback=feedback)), repr(feedback), "'stored'", "'seeded'")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("wide_sums", ["no", 2, None])
def test_bad_wide_sums(rule: type, wide_sums: object) -> None:
    refused(lambda: model(rule=rule(wide_sums=wide_sums)), "wide_sums", repr(wide_sums))


@pytest.mark.parametrize("rule", [None, "DFA", pg.DFA, pg.Dense(3)])
def test_unknown_rules(rule: object) -> None:
    refused(lambda: model(rule=rule), "unknown rule", "DFA", "Backprop")


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "1", None])
def test_bad_seeds(seed: object) -> None:
    refused(lambda: model(seed=seed), "seed", repr(seed), 2**32 - 1)


def test_good_extremes() -> None:
    for rule in RULES:
        model(rule=rule(lr_inv=2**31 - 1, batch=65535, target=-32767), seed=2**32 - 1)
        model(rule=rule(lr_inv=1, batch=1, target="vector", target_range=(-32767, 32767)), seed=0)


def cross_entropy(**parameters: object) -> pg.Model:
    layers = (pg.Dense(3), pg.Dense(2, "identity"))
    return model(layers=layers, rule=pg.CrossEntropyDFA(**parameters))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("batch", 1, 65535),
        ("dropout", 0, 7),
        ("rate", 1, 255),
        ("rate_shift", 8, 20),
        ("activation_shift", 1, 15),
        ("output_shift", 1, 15),
        ("feedback_limit", 1, 127),
    ],
)
def test_ranges_of_cross_entropy(name: str, low: int, high: int) -> None:
    for good in (low, high):
        cross_entropy(**{name: good})
    for bad in (low - 1, high + 1, low + 0.5, True, str(low)):
        refused(
            lambda value=bad: cross_entropy(**{name: value}),
            f"CrossEntropyDFA: {name}",
            repr(bad),
            f"{low}..{high}",
        )


@pytest.mark.parametrize("name", ["rounding", "weights", "schedule", "feedback"])
def test_bad_words_of_cross_entropy(name: str) -> None:
    refused(lambda: cross_entropy(**{name: "some"}), f"CrossEntropyDFA: {name}", "'some'")


def test_weights_of_8_bits_need_stochastic_rounding() -> None:
    cross_entropy(weights="int8", rounding="stochastic")
    refused(lambda: cross_entropy(weights="int8"), "stochastic")


def test_models_are_values() -> None:
    one, other = model(), model(layers=list(LAYERS))
    assert one == other
    assert hash(one) == hash(other)
    assert one != model(seed=2)
    with pytest.raises(FrozenInstanceError):
        one.seed = 3
    with pytest.raises(FrozenInstanceError):
        one.input.dtype = "int8"
    given = [pg.Dense(3)]
    made = model(layers=given)
    given.append(pg.Dense(9))
    assert made.layers == (pg.Dense(3),)


def test_shapes_and_classes() -> None:
    made = model(input=pg.Input((2, 3)), layers=[pg.Dense(5), pg.Dense(4)])
    assert made.in_shapes == ((2, 3), (5,))
    assert made.classes == 4


# --- scales -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "uint16", "float", None, ""])
def test_bad_scale_dtypes(dtype: object) -> None:
    refused(lambda: pg.Scale(dtype=dtype), "scale: dtype", repr(dtype), *SCALED_LIMITS)
    refused(lambda: pg.Scale.fit([[1]], dtype=dtype), "scale: dtype", repr(dtype), *SCALED_LIMITS)


@pytest.mark.parametrize("shift", [-1, 31, 1.0, True, "8", None])
def test_bad_shifts(shift: object) -> None:
    refused(lambda: pg.Scale(shift=shift), "scale: shift", repr(shift), "0..30")


@pytest.mark.parametrize(("name", "limit"), [("offset", 65535), ("multiplier", 2**24)])
def test_bad_offsets_and_multipliers(name: str, limit: int) -> None:
    for value in (limit + 1, -limit - 1, 1.5, True, "3", None):
        refused(lambda v=value: pg.Scale(**{name: v}), f"scale: {name}", repr(value), limit)
        refused(lambda v=value: pg.Scale(**{name: (1, v)}), f"scale: {name}", repr(value), limit)
    pg.Scale(**{name: (limit, -limit)})


@pytest.mark.parametrize("name", ["offset", "multiplier"])
def test_columns_of_another_length(name: str) -> None:
    for column in ((), (1, 2, 3), (1,) * 5):
        scale = pg.Scale(**{name: column})
        refused(lambda s=scale: pg.Input((4,), scale=s), f"of {name}", len(column), "4 features")


@pytest.mark.parametrize("scale", ["int8", 3, (1, 2)])
def test_a_scale_that_is_none(scale: object) -> None:
    refused(lambda: pg.Input((4,), scale=scale), "scale")


@given(
    st.lists(st.integers(-65536, 65535), min_size=1, max_size=9),
    st.integers(-65535, 65535),
    st.integers(-(2**24), 2**24),
    st.integers(0, 30),
    st.sampled_from(sorted(SCALED_LIMITS)),
)
def test_apply(raw: list[int], offset: int, multiplier: int, shift: int, dtype: str) -> None:
    low, high = SCALED_LIMITS[dtype]
    expected = [limited(trunc((v - offset) * multiplier, 2**shift), low, high) for v in raw]
    assert pg.Scale(offset, multiplier, shift, dtype).apply(raw).tolist() == expected


def test_apply_per_feature() -> None:
    scale = pg.Scale((1, 2), (3, -4), 1)
    assert scale.apply([[1, 2], [3, 4]]).tolist() == [[0, 0], [3, -4]]


# --- Scale.fit ----------------------------------------------------------------------------------


def ends(scale: pg.Scale, low: int, high: int) -> list[int]:
    return scale.apply([[low], [high]]).ravel().tolist()


def ideal(raw: int, low: int, high: int, dtype: str) -> Fraction:
    """The line from the range seen onto the whole range of dtype."""
    least, most = (0, 255) if dtype == "uint8" else SCALED_LIMITS[dtype]
    return least + Fraction((raw - low) * (most - least), high - low)


@pytest.mark.parametrize("dtype", sorted(SCALED_LIMITS))
@pytest.mark.parametrize("low", [-300, -7, 0, 5])
def test_fit_against_the_straight_line(low: int, dtype: str) -> None:
    """Ranges of up to 300 values: nowhere farther from the line than one raw value is wide."""
    most = SCALED_LIMITS[dtype][1]
    for high in [*range(low + 1, low + 40), low + 127, low + 255, low + 256, low + 299]:
        scale = pg.Scale.fit([[low], [high]], dtype)
        raw = np.arange(low, high + 1)
        x = scale.apply(raw[:, np.newaxis]).ravel().tolist()
        assert x == sorted(x)
        assert len(set(x)) == len(x) or high - low > most
        # The middle of the range may lie between two integers, and products are truncated.
        width = Fraction(2 * most, high - low)
        for value, got in zip(raw.tolist(), x, strict=True):
            assert abs(got - ideal(value, low, high, dtype)) <= width + 2


@pytest.mark.parametrize("dtype", sorted(SCALED_LIMITS))
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 255), (0, 16), (-128, 127), (0, 65535), (-32768, 32767), (1000, 1002), (5, 7), (-3, 3)],
)
def test_fit_uses_the_whole_range(low: int, high: int, dtype: str) -> None:
    least, most = SCALED_LIMITS[dtype]
    scale = pg.Scale.fit(np.array([[low], [high]]), dtype)
    first, last = ends(scale, low, high)
    slack = 2 + 2 * most // (high - low)  # one raw value, where the middle is no integer
    assert most - slack <= last <= most
    assert least <= first <= least + slack
    assert last >= most - 1 or first <= least + 1  # one end at least is used up
    assert dtype != "uint8" or first == 0


@pytest.mark.parametrize("dtype", sorted(SCALED_LIMITS))
def test_fit_of_a_constant(dtype: str) -> None:
    scale = pg.Scale.fit(np.full((5, 2), 77, np.uint8), dtype)
    assert scale.apply([[77]]).tolist() == [[0]]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("goal", sorted(SCALED_LIMITS))
def test_fit_of_every_input_type(dtype: str, goal: str) -> None:
    kind = np.iinfo(dtype)
    x = np.array([[kind.min], [kind.max], [3]], dtype)
    scale = pg.Scale.fit(x, goal)
    first, last = ends(scale, kind.min, kind.max)
    least, most = SCALED_LIMITS[goal]
    one_raw_value = 2 * most // (int(kind.max) - int(kind.min))
    assert last - first >= most - least - one_raw_value - 2
    assert pg.Input((1,), dtype, scale=scale).scale is scale


def test_fit_per_feature() -> None:
    x = np.array([[0, 1000, 5], [10, 3000, 5], [5, 2500, 5]])
    scale = pg.Scale.fit(x, per_feature=True)
    assert scale.per_feature
    assert scale.offset == (5, 2000, 5)
    for k in range(3):
        alone = pg.Scale.fit(x[:, k : k + 1])
        assert (scale.offset[k], scale.multiplier[k]) == (alone.offset, alone.multiplier)
    assert np.abs(scale.apply(x)[:, :2]).max() >= 126
    assert scale.apply(x)[:, 2].tolist() == [0, 0, 0]


def test_fit_of_pictures_is_fit_of_their_pixels() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    assert pg.Scale.fit(x) == pg.Scale.fit(x.reshape(2, 12))
    assert pg.Scale.fit(x, per_feature=True) == pg.Scale.fit(x.reshape(2, 12), per_feature=True)


@pytest.mark.parametrize("x", [[], np.zeros((0, 4), int), [[1.5]], [[True]], [["a"]], [[None]]])
def test_fit_of_what_is_no_data(x: object) -> None:
    refused(lambda: pg.Scale.fit(x), "integer training data", error=DataError)


def test_fit_of_raw_values_that_no_input_has() -> None:
    refused(lambda: pg.Scale.fit([[0], [10**6]]), "scale", 500000, 65535)


# --- digests ------------------------------------------------------------------------------------


def digests(made: pg.Model, **given: object) -> tuple[str, int]:
    program = lower(made, **given)
    assert program.layout_digest == made.layout_digest
    return program.digest, program.layout_digest


BASE = model(input=pg.Input((4,), "int8", scale=pg.Scale(1, 2, 3)), seed=5)


def with_input(**changes: object) -> pg.Model:
    return model(input=replace(BASE.input, **changes), seed=5)


def with_rule(rule: object) -> pg.Model:
    return model(input=BASE.input, rule=rule, seed=5)


LAYOUTS = {
    "name": model(name="m2", input=BASE.input, seed=5),
    "name's case": model(name="M", input=BASE.input, seed=5),
    "features": with_input(shape=(5,)),
    "shape": with_input(shape=(2, 2)),
    "dtype": with_input(dtype="uint8"),
    "range": with_input(range=(-5, 5)),
    "no scale": with_input(scale=None),
    "offset": with_input(scale=pg.Scale(2, 2, 3)),
    "multiplier": with_input(scale=pg.Scale(1, 3, 3)),
    "shift": with_input(scale=pg.Scale(1, 2, 4)),
    "scale's dtype": with_input(scale=pg.Scale(1, 2, 3, "uint8")),
    "offsets": with_input(scale=pg.Scale((1, 1, 1, 2), 2, 3)),
    "other offsets": with_input(scale=pg.Scale((1, 1, 2, 1), 2, 3)),
    "multipliers": with_input(scale=pg.Scale(1, (2, 2, 2, 3), 3)),
    "units": model(input=BASE.input, layers=[pg.Dense(4), pg.Dense(2)], seed=5),
    "activation": model(input=BASE.input, layers=[pg.Dense(3, "identity"), pg.Dense(2)], seed=5),
    "depth": model(input=BASE.input, layers=[pg.Dense(3), pg.Dense(2), pg.Dense(2)], seed=5),
}
TRAININGS = {
    "seed": model(input=BASE.input, seed=6),
    "rule": with_rule(pg.Backprop()),
    "lr_inv": with_rule(pg.DFA(lr_inv=999)),
    "batch": with_rule(pg.DFA(batch=19)),
    "target": with_rule(pg.DFA(target=16)),
    "minus target": with_rule(pg.DFA(target=-15)),
    "vector": with_rule(pg.DFA(target="vector")),
    "target_range": with_rule(pg.DFA(target="vector", target_range=(-127, 126))),
    "feedback": with_rule(pg.DFA(feedback="seeded")),
    "wide_sums": with_rule(pg.DFA(wide_sums=True)),
}


def softmax(**options: object) -> pg.Model:
    layers = [pg.Dense(3, "pocket_tanh"), pg.Dense(2, "identity")]
    return model(input=BASE.input, layers=layers, rule=pg.CrossEntropyDFA(**options), seed=5)


SOFTMAX = {
    "softmax": softmax(),
    "softmax batch": softmax(batch=19),
    "dropout": softmax(dropout=1),
    "rate": softmax(rate=15),
    "rate_shift": softmax(rate_shift=12),
    "rounding": softmax(rounding="stochastic"),
    "weights": softmax(rounding="stochastic", weights="int8"),
    "activation_shift": softmax(activation_shift=6),
    "output_shift": softmax(output_shift=8),
    "schedule": softmax(schedule="constant"),
    "softmax feedback": softmax(feedback="seeded"),
    "feedback_limit": softmax(feedback_limit=64),
    "through the layers": replace(softmax(), rule=pg.CrossEntropyBackprop()),
}


def test_every_option_of_a_rule_is_among_those_whose_digests_are_compared() -> None:
    for rule, seen in ((pg.CrossEntropyDFA, SOFTMAX), (pg.DFA, TRAININGS)):
        names = {field.name for field in fields(rule)}
        changed = {name.split()[-1] for name in seen}
        assert names <= changed


def test_every_change_of_meaning_changes_the_digest() -> None:
    seen = {"base": BASE, **LAYOUTS, **TRAININGS, **SOFTMAX}
    by_digest = {digests(made)[0]: name for name, made in seen.items()}
    assert sorted(by_digest.values()) == sorted(seen)
    texts = {made.description: name for name, made in seen.items()}
    assert sorted(texts.values()) == sorted(seen)


def test_the_layout_s_digest_follows_input_and_layers_and_nothing_else() -> None:
    layouts = {digests(made)[1] for made in LAYOUTS.values()}
    assert len(layouts) == len(LAYOUTS)
    assert digests(BASE)[1] not in layouts
    assert {digests(made)[1] for made in TRAININGS.values()} == {digests(BASE)[1]}


SAME = {
    "lists": model(
        input=pg.Input([4], "int8", scale=pg.Scale(1, 2, 3)), layers=list(LAYERS), seed=5
    ),
    "shape as a number": with_input(shape=4),
    "range in full": with_input(range=(-128, 127)),
    "defaults in full": model(
        input=BASE.input,
        layers=[pg.Dense(3, "pocket_tanh"), pg.Dense(2, activation="pocket_tanh")],
        rule=pg.DFA(1000, 20, 15, None, feedback="stored"),
        seed=5,
    ),
    "numpy's integers": pg.Model(
        "m",
        pg.Input((np.int64(4),), "int8", (np.int8(-128), np.int8(127)), BASE.input.scale),
        [pg.Dense(np.int32(3)), pg.Dense(np.uint8(2))],
        pg.DFA(np.int64(1000), np.int16(20), np.int8(15)),
        np.uint32(5),
    ),
    "numpy's integers in the scale": with_input(
        scale=pg.Scale(np.int64(1), np.int32(2), np.uint8(3))
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_meaning_has_the_same_digest(name: str) -> None:
    assert digests(SAME[name]) == digests(BASE)
    assert SAME[name].description == BASE.description


def test_numpy_s_integers_in_columns() -> None:
    """A digest must not follow how one version of numpy writes its integers."""
    columns = np.array([1, 2, 3, 4])
    plain = with_input(scale=pg.Scale(tuple(columns.tolist()), tuple(columns.tolist()), 3))
    numpys = with_input(scale=pg.Scale(tuple(columns), tuple(columns), 3))
    assert digests(numpys) == digests(plain)


def test_default_target_range_in_full() -> None:
    one, other = (
        with_rule(pg.DFA(target="vector", target_range=given)) for given in (None, (-127, 127))
    )
    assert digests(one) == digests(other)


def test_given_arrays_change_the_digest_but_not_the_layout_s() -> None:
    weights = some_weights(BASE)
    other = {name: values.copy() for name, values in weights.items()}
    other["b2"][1] += 1
    feedback = {"R1": np.ones((2, 3), int)}
    variants = [
        digests(BASE),
        digests(BASE, weights=weights),
        digests(BASE, weights=other),
        digests(BASE, feedback=feedback),
        digests(BASE, feedback={"R1": -feedback["R1"]}),
        digests(BASE, weights=weights, feedback=feedback),
        digests(BASE, weights=weights, inference_only=True),
    ]
    assert len({digest for digest, _ in variants}) == len(variants)
    assert {layout for _, layout in variants} == {BASE.layout_digest}


def test_how_arrays_are_written_does_not_matter() -> None:
    weights = some_weights(BASE)
    expected = digests(BASE, weights=weights)
    narrow = {name: values.astype(np.int8) for name, values in weights.items()}
    turned = {name: np.asfortranarray(values) for name, values in weights.items()}
    listed = {name: values.tolist() for name, values in reversed(weights.items())}
    for same in (narrow, turned, listed):
        assert digests(BASE, weights=same) == expected


def test_a_bias_as_a_row_is_the_same_bias() -> None:
    weights = some_weights(BASE)
    row = {**weights, "b1": weights["b1"][np.newaxis]}
    assert digests(BASE, weights=row) == digests(BASE, weights=weights)


def test_the_description_says_everything() -> None:
    text = "\n".join(BASE.description)
    words = ["m", "4", "int8", "-128..127", "(raw - 1) * 2 / 2^3", "dense 4 -> 3 pocket_tanh"]
    words += ["dense 3 -> 2 pocket_tanh", "DFA", "1000", "20", "15", "stored", "seed 5"]
    for word in words:
        assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text), word
    assert text.isascii()
