"""Synthetic sensor tasks for the benchmarks: integers as a converter or a counter would give them.

Every function returns raw integer samples (samples, features), of the type that a driver would
give, and labels 0..classes-1; the same for the same arguments on any machine with the same numpy.
What a class is, is fixed; the seed decides which samples are drawn. They are independent: take the
first ones to train and the rest to test. Nothing here is scaled; that is the network's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Samples = NDArray[np.integer[Any]]
Labels = NDArray[np.int32]
Task = tuple[Samples, Labels]


def counts(values: NDArray[np.float64], low: int, high: int, dtype: DTypeLike) -> Samples:
    """Values rounded to whole numbers and cut off at a converter's limits."""
    return np.clip(np.rint(values), low, high).astype(dtype)


def spectra(samples: int, seed: int, features: int = 320, classes: int = 10) -> Task:
    """Log-spectra 0..255 of substances with overlapping peaks; dense, neighbours much alike.

    A class is six peaks; substances share most of their peaks' places. A sample differs in gain,
    baseline, place and height of the peaks, and noise.
    """
    fixed = np.random.default_rng(20)
    rng = np.random.default_rng([seed, 1])
    places = fixed.uniform(0.05, 0.95, 14)
    chosen = np.stack([fixed.permutation(14)[:6] for _ in range(classes)])
    heights = fixed.uniform(0.4, 1.6, (classes, 6))
    widths = fixed.uniform(0.01, 0.04, 14)
    labels = rng.integers(0, classes, samples)
    axis = np.linspace(0.0, 1.0, features)
    kinds = chosen[labels]
    centre = (
        places[kinds] + rng.normal(0.0, 0.012, (samples, 1)) + rng.normal(0.0, 0.004, kinds.shape)
    )
    height = heights[labels] * np.exp(rng.normal(0.0, 0.9, kinds.shape))
    power = np.full((samples, features), 0.15)
    for peak in range(6):
        away = (axis - centre[:, peak, None]) / widths[kinds[:, peak], None]
        power += height[:, peak, None] * np.exp(-0.5 * away * away)
    power *= np.exp(rng.normal(0.0, 0.4, (samples, 1)))
    tilt = rng.normal(0.0, 12.0, (samples, 1)) * (axis - 0.5)
    level = 140.0 + 34.0 * np.log(power) + tilt + rng.normal(0.0, 20.0, power.shape)
    return counts(level, 0, 255, np.uint8), labels.astype(np.int32)


def gestures(samples: int, seed: int, steps: int = 40, classes: int = 8) -> Task:
    """Windows of a three-axis accelerometer, 16-bit counts, 4096 to one g; axes side by side.

    A gesture is a sum of two oscillations for each axis. Speed, strength, start, the way the
    device is held (gravity on all axes) and noise differ from sample to sample.
    """
    fixed = np.random.default_rng(21)
    rng = np.random.default_rng([seed, 2])
    amount = fixed.normal(0.0, 0.5, (classes, 3, 2))
    cycles = fixed.uniform(0.6, 3.0, (classes, 3, 2))
    phase = fixed.uniform(0.0, 2.0 * np.pi, (classes, 3, 2))
    labels = rng.integers(0, classes, samples)
    speed = np.exp(rng.normal(0.0, 0.12, (samples, 1)))
    start = rng.normal(0.0, 0.07, (samples, 1))
    time = np.linspace(0.0, 1.0, steps) * speed + start
    strength = np.exp(rng.normal(0.0, 0.3, (samples, 1, 1)))
    held = rng.normal(0.0, 0.25, (samples, 3, 1)) + np.array([0.1, -0.2, 0.95])[:, None]
    wave = np.zeros((samples, 3, steps))
    for part in range(2):
        turn = 2.0 * np.pi * cycles[labels, :, part, None] * time[:, None, :]
        wave += amount[labels, :, part, None] * np.sin(turn + phase[labels, :, part, None])
    g = held + strength * wave + rng.normal(0.0, 0.35, wave.shape)
    windows = counts(4096.0 * g, -32768, 32767, np.int16)
    return windows.reshape(samples, 3 * steps), labels.astype(np.int32)


def clusters(
    rng: np.random.Generator,
    fixed: np.random.Generator,
    labels: Labels,
    latent: int,
    groups: int,
    apart: float,
) -> NDArray[np.float64]:
    """Points around the centres of their classes: each class has several groups, none convex."""
    classes = int(labels.max()) + 1
    centres = fixed.normal(0.0, apart, (classes, groups, latent))
    group = rng.integers(0, groups, len(labels))
    return centres[labels, group] + rng.normal(0.0, 1.0, (len(labels), latent))


def unequal_scales(samples: int, seed: int, features: int = 24, classes: int = 5) -> Task:
    """Measurements in units of their own: spreads from 1.5 to 9000 counts, offsets to 20 000."""
    fixed = np.random.default_rng(22)
    rng = np.random.default_rng([seed, 3])
    labels = rng.integers(0, classes, samples).astype(np.int32)
    points = clusters(rng, fixed, labels, 10, 3, 1.6)
    mixed = points @ (fixed.normal(0.0, 1.0, (10, features)) / np.sqrt(10.0))
    mixed += rng.normal(0.0, 0.3, mixed.shape)
    spread = fixed.permutation(np.geomspace(1.0, 6000.0, features))
    offset = fixed.integers(-20000, 20001, features) * (spread > 3.0)
    return counts(mixed * spread + offset, -32768, 32767, np.int16), labels


def unequal_classes(samples: int, seed: int, features: int = 32) -> Task:
    """A condition monitor: 90 % normal, faults of 5, 3 and 2 %; ten-bit readings."""
    fixed = np.random.default_rng(23)
    rng = np.random.default_rng([seed, 4])
    labels = rng.choice(4, samples, p=[0.90, 0.05, 0.03, 0.02]).astype(np.int32)
    points = clusters(rng, fixed, labels, 10, 2, 0.95)
    mixed = points @ (fixed.normal(0.0, 1.0, (10, features)) / np.sqrt(10.0))
    mixed += rng.normal(0.0, 0.2, mixed.shape)
    return counts(512.0 + 90.0 * mixed, 0, 1023, np.uint16), labels


def many_classes(samples: int, seed: int, features: int = 64, classes: int = 40) -> Task:
    """Forty kinds from 64 twelve-bit readings."""
    fixed = np.random.default_rng(24)
    rng = np.random.default_rng([seed, 5])
    labels = rng.integers(0, classes, samples).astype(np.int32)
    points = clusters(rng, fixed, labels, 16, 1, 1.3)
    mixed = points @ (fixed.normal(0.0, 1.0, (16, features)) / 4.0)
    mixed += rng.normal(0.0, 0.3, mixed.shape)
    return counts(2048.0 + 350.0 * mixed, 0, 4095, np.uint16), labels


def rings(samples: int, seed: int) -> Task:
    """Three rings around one centre, two twelve-bit readings: few inputs, no straight border."""
    rng = np.random.default_rng([seed, 6])
    labels = rng.integers(0, 3, samples).astype(np.int32)
    radius = 400.0 * (labels + 1) + rng.normal(0.0, 100.0, samples)
    angle = rng.uniform(0.0, 2.0 * np.pi, samples)
    plane = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return counts(2048.0 + plane, 0, 4095, np.uint16), labels


def two_classes(samples: int, seed: int, features: int = 16) -> Task:
    """Good or bad from sixteen ten-bit readings, two groups of each."""
    fixed = np.random.default_rng(25)
    rng = np.random.default_rng([seed, 7])
    labels = rng.integers(0, 2, samples).astype(np.int32)
    points = clusters(rng, fixed, labels, 8, 3, 1.6)
    mixed = points @ (fixed.normal(0.0, 1.0, (8, features)) / np.sqrt(8.0))
    mixed += rng.normal(0.0, 0.2, mixed.shape)
    return counts(512.0 + 80.0 * mixed, 0, 1023, np.uint16), labels


def mixed_columns(samples: int, seed: int) -> Task:
    """A machine's log: readings in units of their own, 18 flags (one of six set), 24 counters.

    Most values are 0, yet no one factor suits all columns: flags are 1, readings reach 20 000.
    """
    fixed = np.random.default_rng(26)
    rng = np.random.default_rng([seed, 8])
    labels = rng.integers(0, 6, samples).astype(np.int32)
    points = clusters(rng, fixed, labels, 4, 2, 1.1)
    mixed = points @ (fixed.normal(0.0, 1.0, (4, 6)) / 2.0)
    readings = 3000.0 + mixed * np.array([8.0, 40.0, 150.0, 600.0, 1500.0, 4000.0])
    flags = np.zeros((samples, 18))
    for group in range(3):
        weight = fixed.dirichlet(np.full(6, 0.7), 6)[labels]
        drawn = (weight.cumsum(1) < rng.uniform(0.0, 1.0, (samples, 1))).sum(1)
        flags[np.arange(samples), 6 * group + np.minimum(drawn, 5)] = 1.0
    rates = np.exp(fixed.normal(-1.6, 1.0, (6, 24)))
    counted = rng.poisson(rates[labels]) * fixed.integers(1, 30, 24)
    columns = np.concatenate([readings, flags, counted.astype(np.float64)], axis=1)
    return counts(columns, -32768, 32767, np.int16), labels


TASKS: dict[str, Callable[[int, int], Task]] = {
    "spectra": spectra,
    "gestures": gestures,
    "unequal-scales": unequal_scales,
    "unequal-classes": unequal_classes,
    "two-classes": two_classes,
    "mixed-columns": mixed_columns,
    "rings": rings,
    "many-classes": many_classes,
}
