"""A floating-point multilayer perceptron with backpropagation in PyTorch, to compare with.

Several networks of different seeds train side by side in one batch of matrices, which is much
faster than one after the other and changes nothing for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FloatTraining:
    """tanh units, softmax cross-entropy, plain SGD whose rate falls linearly to 0.

    hidden: units of the hidden layers. dropout: share of the inputs set to 0 in training.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch: int
    rate: float = 0.1
    dropout: float = 0.0


def float_accuracies(
    plan: FloatTraining,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    x_test: NDArray[np.float32],
    y_test: NDArray[np.int64],
    seeds: int,
) -> list[float]:
    """Test accuracy 0..1 after the last epoch, of one network for each seed 1 .. seeds.

    x: (samples, features), the same for all, or (seeds, samples, features), each its own; y alike.
    """
    import torch

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.from_numpy(np.ascontiguousarray(x, np.float32)).expand(seeds, -1, -1)
    labels = torch.from_numpy(np.ascontiguousarray(y, np.int64)).expand(seeds, -1)
    network = torch.arange(seeds)[:, None]
    classes = int(y.max()) + 1
    sizes = (x.shape[-1], *plan.hidden, classes)
    W, b = [], []
    for fan_in, fan_out in pairwise(sizes):
        bound = (6 / (fan_in + fan_out)) ** 0.5  # Glorot and Bengio 2010
        drawn = torch.rand((seeds, fan_in, fan_out), generator=generator) * 2 - 1
        W.append((drawn * bound).requires_grad_())
        b.append(torch.zeros((seeds, 1, fan_out), requires_grad=True))
    parameters = [*W, *b]

    def forward(a: torch.Tensor) -> torch.Tensor:
        for k, (weights, bias) in enumerate(zip(W, b, strict=True)):
            h = torch.baddbmm(bias, a, weights)
            a = torch.tanh(h) if k < len(W) - 1 else h
        return a

    count, done = inputs.shape[1], 0
    total = plan.epochs * -(-count // plan.batch)
    for _ in range(plan.epochs):
        order = torch.stack([torch.randperm(count, generator=generator) for _ in range(seeds)])
        for start in range(0, count, plan.batch):
            rows = order[:, start : start + plan.batch]
            batch = inputs[network, rows]
            if plan.dropout:
                kept = torch.rand(batch.shape, generator=generator) >= plan.dropout
                batch = batch * kept / (1 - plan.dropout)
            output = forward(batch)
            loss = torch.nn.functional.cross_entropy(
                output.reshape(-1, classes), labels[network, rows].reshape(-1), reduction="sum"
            )
            # The mean over a batch, for each network of its own.
            gradients = torch.autograd.grad(loss / rows.shape[1], parameters)
            rate = plan.rate * (1 - done / total)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= rate * gradient
            done += 1
    with torch.no_grad():
        tested = torch.from_numpy(np.ascontiguousarray(x_test, np.float32))
        guesses = forward(tested.expand(seeds, -1, -1)).argmax(-1)
        right = (guesses == torch.from_numpy(np.ascontiguousarray(y_test, np.int64))).sum(-1)
    return [int(hits) / y_test.shape[-1] for hits in right]
