"""The benchmarks run as their README says, and the published PocketNN run is repeated exactly."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support import data_folder, repository_root, require

benchmarks = repository_root / "benchmarks"
programs = ["pocketnn_run.py", "host.py", "device.py"]

# Printed by the published program itself.
PUBLISHED = [
    {"loss_sum": 1070190, "train_hits": 54667, "test_hits": 9484},
    {"loss_sum": 597476, "train_hits": 57266, "test_hits": 9584},
    {"loss_sum": 489390, "train_hits": 57843, "test_hits": 9643},
]


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, benchmarks / program, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_published_mnist_run() -> None:
    data_folder("mnist")
    done = run("pocketnn_run.py", "--data", "mnist", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["epochs"] == PUBLISHED
    assert result["afterwards"] == 58249
    assert sum(result["seconds"]) < 5


def test_the_fashion_mnist_run_is_the_recorded_one() -> None:
    data_folder("fashion_mnist")
    done = run("pocketnn_run.py", "--data", "fashion-mnist", "--epochs", "1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    recorded = json.loads((benchmarks / "results" / "pocketnn_run_fashion-mnist.json").read_text())
    assert json.loads(done.stdout)["epochs"] == recorded["epochs"][:1]


def test_the_recorded_mnist_run_is_the_published_one() -> None:
    recorded = json.loads((benchmarks / "results" / "pocketnn_run_mnist.json").read_text())
    assert recorded == {"epochs": PUBLISHED, "afterwards": 58249}


def test_a_run_that_differs_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(benchmarks)
    import pocketnn_run

    exact = {"epochs": PUBLISHED, "afterwards": 58249, "seconds": [0.5, 0.5, 0.5]}
    wrong_hit = [*PUBLISHED[:2], {**PUBLISHED[2], "test_hits": 9642}]
    for result, status, told in (
        (exact, 0, ""),
        ({**exact, "epochs": wrong_hit}, 1, "epoch 3: test_hits is 9642, published 9643"),
        ({**exact, "afterwards": 1}, 1, "afterwards 1 are right, not 58249"),
        ({**exact, "epochs": PUBLISHED[:1], "seconds": [0.5], "afterwards": 1}, 0, ""),
    ):
        monkeypatch.setattr(pocketnn_run, "replay", lambda data, epochs, r=result: r)
        assert pocketnn_run.main([]) == status
        assert told in capsys.readouterr().err


def test_host_measures_what_is_there() -> None:
    data_folder("mnist")
    done = run("host.py", "--repeats", "1", "--samples", "400", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    names = [row["system"] for row in result["rows"]]
    assert any(name.startswith("pocketgen") for name in names)
    for row in result["rows"]:
        assert min(row["train_s"], row["test_s"], row["single_per_s"]) > 0
        assert (row["ratio"] is None) == ("PyTorch eager" not in names)
    for name in ("PyTorch eager", "scikit-learn, float32", "scikit-learn, float64"):
        assert (name in names) != any(reason.startswith(name) for reason in result["left_out"])


def test_device_learns_online_and_from_a_few_samples() -> None:
    data_folder("mnist")
    names = "one-pass-online-int8-seeded,noisy-int16"
    done = run("device.py", "--only", names, "--seeds", "1", "--samples", "2000", "--json")
    assert done.returncode == 0
    online, shifted = json.loads(done.stdout)["rows"]
    assert (online["name"], shifted["name"]) == tuple(names.split(","))
    assert online["accuracy"]["mean"] > 70
    # No stored feedback: the twin with stored feedback ends with the same weights.
    assert [len(set(digests)) for digests in online["digests"]] == [1]
    assert len(online["digests"][0]) == 2
    assert shifted["ram_bytes"] > 1.9 * online["ram_bytes"]
    assert shifted["flash_bytes"] - online["flash_bytes"] == (100 + 50) * 10  # bytes of feedback
    assert (shifted["epochs"], shifted["samples"]) == (20, 2000)
    assert shifted["old_before"]["mean"] > shifted["before"]["mean"] > 50
    assert shifted["after"]["mean"] > shifted["before"]["mean"]
    assert shifted["alone"]["mean"] > 50
    assert len(shifted["old_after"]["each"]) == shifted["seeds"] == 1


def test_a_recorded_device_row_is_repeated_to_the_bit() -> None:
    data_folder("mnist")
    done = run("device.py", "--only", "one-pass-online-int8", "--seeds", "1", "--json")
    assert done.returncode == 0
    (again,) = json.loads(done.stdout)["rows"]
    recorded = json.loads((benchmarks / "results" / "device.json").read_text())["rows"]
    (row,) = (row for row in recorded if row["name"] == again["name"])
    assert again["digests"] == row["digests"][:1]
    assert again["accuracy"]["each"] == row["accuracy"]["each"][:1]
    for name in ("ram_bytes", "flash_bytes", "description"):
        assert again[name] == row[name]


def test_device_tells_of_other_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(benchmarks)
    import device

    row = {
        "name": "one-pass-online-seeded",
        "accuracy": {"mean": 90.0},
        "seeds": 1,
        "ram_bytes": 1,
        "flash_bytes": 1,
    }
    for digests, status in (([["ab", "ab"]], 0), ([["ab", "ab"], ["cd", "ce"]], 1)):
        monkeypatch.setattr(device, "measured", lambda *given, d=digests: {**row, "digests": d})
        assert device.main(["--only", "one-pass-online-seeded"]) == status
        assert ("the weights differ" in capsys.readouterr().err) == (status == 1)


def test_shifted_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(benchmarks)
    from shifts import NOISE, SHIFTS

    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, 4, 10:18] = 200  # a bar above the middle, which is between pixels 13 and 14
    flat = image.reshape(1, 784)
    assert np.array_equal(SHIFTS["inverted"](flat, 0), 255 - flat)

    turned = SHIFTS["rotated"](flat, 0)[0].reshape(28, 28).astype(int)
    assert abs(turned.sum() - image.sum(dtype=int)) < image.sum(dtype=int) // 20
    # The bar's middle is (-9.5, 0) from the image's, rows downwards. Turned anticlockwise by 15
    # degrees: (-9.5 cos 15, -9.5 sin 15).
    weights = turned / turned.sum()
    rows, columns = np.mgrid[0:28, 0:28] - 13.5
    assert abs((weights * rows).sum() + 9.5 * np.cos(np.pi / 12)) < 0.1
    assert abs((weights * columns).sum() + 9.5 * np.sin(np.pi / 12)) < 0.1
    constant = np.full((2, 784), 255, dtype=np.uint8)
    assert (SHIFTS["rotated"](constant, 0).reshape(2, 28, 28)[:, 8:20, 8:20] == 255).all()

    grey = np.full((2, 784), NOISE, dtype=np.uint8)
    noise = SHIFTS["noisy"](grey, 0)
    assert (noise.min(), noise.max()) == (0, 255)
    assert abs(noise.mean() - NOISE) < 5
    assert not np.array_equal(noise[0], noise[1])
    assert not np.array_equal(noise, SHIFTS["noisy"](grey, 1))
    assert SHIFTS["noisy"](flat, 0).dtype == np.uint8


@pytest.mark.parametrize("program", programs)
def test_without_data_one_line_and_status_2(program: str, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"no pictures")
    done = run(program, POCKETGEN_DATA=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"{program}: ")
    assert len(done.stderr.splitlines()) == 1


def test_any_data_beside_a_float_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    require(importlib.util.find_spec("sklearn"), "scikit-learn is not installed")
    monkeypatch.syspath_prepend(benchmarks)
    import any_data

    monkeypatch.setattr(any_data, "TESTED", 300)
    monkeypatch.setattr(any_data, "RESULTS", tmp_path)
    call = ["--only", "unequal-scales-300", "--seeds", "2", "--epochs", "30", "--json", "--write"]
    assert any_data.main(call) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["inputs"], row["classes"], row["samples"], row["tested"]) == (24, 5, 300, 300)
    assert row["conditioning"].startswith("per feature")
    assert row["mean"] > 75
    assert row["float_mean"] > 75
    assert len(set(row["each"])) == 2
    assert row["difference_mean"] == pytest.approx(row["mean"] - row["float_mean"], abs=0.02)
    assert json.loads((tmp_path / "any_data.json").read_text())["rows"] == [row]
    assert f"| {row['mean']:.2f} ± {row['std']:.2f} |" in (tmp_path / "any_data.md").read_text()


def test_any_data_beside_float_backprop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")  # never required: it is larger than all the rest
    monkeypatch.syspath_prepend(benchmarks)
    import any_data

    monkeypatch.setattr(any_data, "TESTED", 300)
    row = replace(any_data.ROWS["unequal-scales-300"], name="few", floating=True)
    monkeypatch.setitem(any_data.ROWS, "few", row)
    assert any_data.main(["--only", "few", "--seeds", "2", "--epochs", "30", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["mean"] > 75
    assert len(set(row["each"])) == 2


def test_the_recorded_results_on_any_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is made of the JSON, which has every row with its own number of seeds, or more."""
    monkeypatch.syspath_prepend(benchmarks)
    import any_data

    folder = benchmarks / "results"
    rows = {row["name"]: row for row in json.loads((folder / "any_data.json").read_text())["rows"]}
    assert any_data.page(rows) == (folder / "any_data.md").read_text(encoding="utf-8")
    assert list(rows) == list(any_data.ROWS)
    for name, row in rows.items():
        assert row["seeds"] >= any_data.ROWS[name].seeds >= 5
        assert row["epochs"] == any_data.EPOCHS


@pytest.mark.parametrize("program", [*programs, "any_data.py"])
def test_help(program: str) -> None:
    done = run(program, "--help")
    assert done.returncode == 0
    assert "exit status" in done.stdout.lower()


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("pocketnn_run.py", ["--epochs", "0"]),
        ("pocketnn_run.py", ["--data", "cifar"]),
        ("host.py", ["--repeats", "0"]),
        ("host.py", ["--samples", "5"]),
        ("device.py", ["--only", "ten-passes"]),
        ("device.py", ["--seeds", "0"]),
        ("device.py", ["--samples", "100", "--write"]),
        ("any_data.py", ["--seeds", "0"]),
        ("any_data.py", ["--epochs", "0"]),
        ("any_data.py", ["--only", "iris"]),
    ],
)
def test_a_wrong_option(program: str, arguments: list[str]) -> None:
    done = run(program, *arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr
