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
    classes = int(y.max()) + 1
    sizes = (x.shape[-1], *plan.hidden, classes)
    W, b = [], []
    for fan_in, fan_out in pairwise(sizes):
        bound = (6 / (fan_in + fan_out)) ** 0.5  # Glorot and Bengio 2010
        drawn = torch.rand((seeds, fan_in, fan_out), generator=generator) * 2 - 1
        W.append(drawn * bound)
        b.append(torch.zeros((seeds, 1, fan_out)))
    rows_of_net = torch.arange(seeds)[:, None]
    kept_scale = 1 / (1 - plan.dropout)

    def forward(a: torch.Tensor) -> list[torch.Tensor]:
        activations = [a]
        for k, (weights, bias) in enumerate(zip(W, b, strict=True)):
            h = torch.baddbmm(bias, activations[-1], weights)
            activations.append(torch.tanh_(h) if k < len(W) - 1 else h)
        return activations

    def dropped(batch: torch.Tensor) -> torch.Tensor:
        """The batch with inputs set to 0 at random, by bytes: shares of 256ths."""
        words = torch.empty(-(-batch.numel() // 8), dtype=torch.int64)
        words.random_(-(2**63), None, generator=generator)
        bytes_of_batch = words.view(torch.uint8)[: batch.numel()].view(batch.shape)
        return batch * (bytes_of_batch >= round(256 * plan.dropout)) * kept_scale

    count, done = inputs.shape[1], 0
    total = plan.epochs * -(-count // plan.batch)
    for _ in range(plan.epochs):
        order = torch.stack([torch.randperm(count, generator=generator) for _ in range(seeds)])
        for start in range(0, count, plan.batch):
            rows = order[:, start : start + plan.batch]
            batch = inputs[rows_of_net, rows]
            activations = forward(dropped(batch) if plan.dropout else batch)
            # Of the mean cross-entropy over a batch: softmax less 1 at the label.
            delta = torch.softmax(activations[-1], -1)
            right = labels[rows_of_net, rows].unsqueeze(-1)
            delta.scatter_add_(-1, right, delta.new_full(right.shape, -1.0))
            delta *= plan.rate * (1 - done / total) / rows.shape[1]
            for k in reversed(range(len(W))):
                below = activations[k]
                moved = torch.bmm(below.transpose(1, 2), delta), delta.sum(1, keepdim=True)
                if k:
                    delta = torch.bmm(delta, W[k].transpose(1, 2)) * (1 - below * below)
                W[k] -= moved[0]
                b[k] -= moved[1]
            done += 1
    tested = torch.from_numpy(np.ascontiguousarray(x_test, np.float32))
    guesses = forward(tested.expand(seeds, -1, -1))[-1].argmax(-1)
    hits = (guesses == torch.from_numpy(np.ascontiguousarray(y_test, np.int64))).sum(-1)
    return [int(hit) / y_test.shape[-1] for hit in hits]
