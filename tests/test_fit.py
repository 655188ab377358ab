"""Training over epochs, tried on a stand-in network so that every rule shows by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pocketgen.errors import DataError, PocketgenError
from pocketgen.fit import History, Shuffle, Status, fit


class RecordingNet:
    """Learns nothing but counts: its one weight is the number of samples it has seen."""

    def __init__(
        self,
        *,
        batch: int = 4,
        regression: bool = False,
        accuracies: tuple[float, ...] = (),
        losses: tuple[float, ...] = (),
        schedule: Callable[[int, int], int | None] = lambda epoch, epochs: None,
        rate_state: str = "lr_shift",
    ) -> None:
        rule = SimpleNamespace(scheduled_rate=schedule, rate_state=rate_state)
        self.model = SimpleNamespace(rule=rule, seed=7)
        self.regression = regression
        self.batch = batch
        self.lr_shift = 0
        self.seen: list[int] = []
        self.calls: list[int] = []
        self.shifts: list[int] = []
        self.rates: list[int] = []
        self.accuracies = accuracies
        self.losses = losses
        self.evaluations = 0
        self.weight = np.zeros(1, dtype=np.int16)
        self.before_call: Callable[[], None] = lambda: None

    @property
    def lr_inv(self) -> int:
        return 1000 << self.lr_shift

    def set_rate(self, value: int) -> None:
        self.rates.append(value)

    def check_pairs(self, x: Any, y: Any) -> tuple[Any, Any]:
        if not self.regression and y.max() > 5:
            raise DataError("labels: beyond the outputs")
        return x, y

    def train_samples(self, x: Any, y: Any, order: Any) -> tuple[int, int]:
        self.before_call()
        self.seen += [int(x[row][0]) for row in order]
        self.calls.append(len(order))
        self.shifts.append(self.lr_shift)
        self.weight += len(order)
        return 10 * len(order), len(order) // 2

    def clamped(self) -> Mapping[str, int]:
        return {"W1": int(self.weight[0])}

    def evaluate(self, x: Any, y: Any) -> Mapping[str, Any]:
        at = self.evaluations
        self.evaluations += 1
        if self.regression:
            return {"samples": len(x), "mse": 1.0, "mae": 1.0, "loss": self.losses[at]}
        loss = self.losses[at] if self.losses else 1.0
        return {"samples": len(x), "accuracy": self.accuracies[at], "loss": loss}

    def weights(self) -> dict[str, Any]:
        return {"W1": self.weight.copy()}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        self.weight[:] = weights["W1"]


x = np.arange(10).reshape(10, 1)
y = np.arange(10) % 2
validation = (x[:3], y[:3])


def test_shuffle_is_the_published_xorshift_and_fisher_yates() -> None:
    shuffle = Shuffle(6, seed=1)
    # xorshift32 (13, 17, 5) from 1: 270369, 67634689, 2647435461, 307599695, 2398689233
    expected = [0, 1, 2, 3, 4, 5]
    for i, word in zip(
        (5, 4, 3, 2, 1), (270369, 67634689, 2647435461, 307599695, 2398689233), strict=True
    ):
        j = (word * (i + 1)) >> 32
        expected[i], expected[j] = expected[j], expected[i]
    assert shuffle.next().tolist() == expected


def test_shuffle_goes_on_from_the_last_order_and_never_loses_a_row() -> None:
    shuffle = Shuffle(1000, seed=3)
    first, second = shuffle.next(), shuffle.next()
    assert sorted(first) == sorted(second) == list(range(1000))
    assert (first != second).mean() > 0.9
    again = Shuffle(1000, seed=3)
    assert (again.next() == first).all()
    assert (again.next() == second).all()
    assert (Shuffle(1000, seed=4).next() != first).any()


def test_shuffle_works_from_seed_0_and_for_one_row() -> None:
    assert sorted(Shuffle(50, seed=0).next()) == list(range(50))
    assert Shuffle(1, seed=5).next().tolist() == [0]


def test_every_epoch_sees_every_sample_once_in_another_order() -> None:
    net = RecordingNet()
    history = fit(net, x, y, epochs=3)
    epochs = [net.seen[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(rows) == list(range(10)) for rows in epochs)
    assert epochs[0] != epochs[1]
    assert [row.epoch for row in history.epochs] == [1, 2, 3]
    assert not history.interrupted
    assert not history.stopped_early
    assert history.best_epoch is None


def test_the_models_seed_is_the_default_of_shuffle_seed() -> None:
    nets = [RecordingNet(), RecordingNet(), RecordingNet()]
    fit(nets[0], x, y)
    fit(nets[1], x, y, shuffle_seed=7)
    fit(nets[2], x, y, shuffle_seed=8)
    assert nets[0].seen == nets[1].seen != nets[2].seen


def test_loss_and_accuracy_are_means_over_the_samples() -> None:
    row = fit(RecordingNet(), x, y).epochs[0]
    assert (row.loss, row.accuracy) == (10.0, 0.5)
    assert (row.val_loss, row.val_accuracy) == (None, None)
    assert row.seconds > 0
    assert row.samples_per_second > 0


def test_a_given_order_is_followed_and_may_repeat_rows() -> None:
    net = RecordingNet()
    history = fit(net, x, y, epochs=2, order=[[3, 3, 1], [0, 9, 9]])
    assert net.seen == [3, 3, 1, 0, 9, 9]
    assert history.epochs[0].loss == 10.0


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        ([1, 2, 3], "shape"),
        ([[1, 2]], "shape"),
        ([[1, 2], [3, 10]], "row 10"),
        ([[1, 2], [3, -1]], "row -1"),
        ([[0.5, 1.0], [2.0, 3.0]], "integers"),
    ],
)
def test_a_wrong_order_is_refused_before_training(order: Any, fault: str) -> None:
    net = RecordingNet()
    with pytest.raises(DataError, match=fault):
        fit(net, x, y, epochs=2, order=order)
    assert net.seen == []


def test_calls_are_whole_batches_whatever_their_number() -> None:
    net = RecordingNet(batch=4)
    many = np.arange(5000).reshape(5000, 1)
    fit(net, many, np.zeros(5000, dtype=int))
    assert len(net.calls) > 1
    assert all(rows % 4 == 0 for rows in net.calls[:-1])
    assert sum(net.calls) == 5000


def test_validation_is_measured_after_each_epoch() -> None:
    net = RecordingNet(accuracies=(0.25, 0.75), losses=(9.0, 4.0))
    history = fit(net, x, y, epochs=2, validation_data=validation)
    assert [row.val_accuracy for row in history.epochs] == [0.25, 0.75]
    assert [row.val_loss for row in history.epochs] == [9.0, 4.0]


def test_patience_stops_and_brings_the_best_weights_back() -> None:
    net = RecordingNet(accuracies=(0.5, 0.8, 0.7, 0.8, 0.6, 0.9))
    history = fit(net, x, y, epochs=6, validation_data=validation, patience=3)
    assert len(history.epochs) == 5
    assert history.stopped_early
    assert history.best_epoch == 2
    assert net.weight[0] == 20  # two epochs of ten samples


def test_at_equal_accuracy_the_smaller_loss_is_better() -> None:
    net = RecordingNet(accuracies=(0.5, 0.5, 0.5), losses=(3.0, 2.0, 2.0))
    assert fit(net, x, y, 3, validation, patience=5).best_epoch == 2


def test_patience_keeps_the_best_weights_at_an_ordinary_end_too() -> None:
    net = RecordingNet(accuracies=(0.9, 0.8))
    history = fit(net, x, y, epochs=2, validation_data=validation, patience=5)
    assert not history.stopped_early
    assert history.best_epoch == 1
    assert net.weight[0] == 10


def test_patience_of_a_regression_watches_the_loss() -> None:
    net = RecordingNet(regression=True, losses=(5.0, 3.0, 4.0, 4.0))
    targets = np.zeros((10, 1), dtype=int)
    history = fit(net, x, targets, epochs=4, validation_data=(x[:3], targets[:3]), patience=2)
    assert history.best_epoch == 2
    assert history.epochs[0].accuracy is None
    assert history.epochs[0].val_accuracy is None


def test_the_rate_is_halved_and_told() -> None:
    net = RecordingNet()
    history = fit(net, x, y, epochs=5, halve_every=2)
    assert [row.lr_inv for row in history.epochs] == [1000, 1000, 2000, 2000, 4000]
    assert net.shifts == [0, 0, 1, 1, 2]


def test_a_rule_s_schedule_sets_the_rate_before_each_epoch() -> None:
    net = RecordingNet(schedule=lambda epoch, epochs: 10 * epochs + epoch)
    fit(net, x, y, epochs=3)
    assert net.rates == [30, 31, 32]
    without = RecordingNet()
    fit(without, x, y, epochs=3)
    assert without.rates == []


def test_a_rule_with_a_schedule_has_no_rate_to_halve() -> None:
    net = RecordingNet(rate_state="rate")
    with pytest.raises(PocketgenError, match="halve_every goes with DFA and Backprop"):
        fit(net, x, y, epochs=3, halve_every=1)
    assert net.seen == []


def test_the_rate_is_never_halved_beyond_what_the_code_can_hold() -> None:
    net = RecordingNet()
    fit(net, x, y, epochs=20, halve_every=1)
    assert net.lr_shift == 15


def test_ctrl_c_keeps_what_was_learned() -> None:
    net = RecordingNet()

    def interrupt_in_third_epoch() -> None:
        if len(net.calls) == 2:
            raise KeyboardInterrupt

    net.before_call = interrupt_in_third_epoch
    history = fit(net, x, y, epochs=5)
    assert history.interrupted
    assert len(history.epochs) == 2
    assert net.weight[0] == 20


def test_ctrl_c_with_patience_leaves_the_best_weights() -> None:
    net = RecordingNet(accuracies=(0.9, 0.1, 0.1))

    def interrupt_in_third_epoch() -> None:
        if len(net.calls) == 2:
            raise KeyboardInterrupt

    net.before_call = interrupt_in_third_epoch
    history = fit(net, x, y, epochs=5, validation_data=validation, patience=4)
    assert history.interrupted
    assert history.best_epoch == 1
    assert net.weight[0] == 10


def test_progress_is_told_within_and_at_the_end_of_each_epoch() -> None:
    told: list[Status] = []
    many = np.zeros((3000, 1), dtype=int)
    history = fit(RecordingNet(batch=4), many, many[:, 0], epochs=2, progress=told.append)
    ends = [status for status in told if status.finished is not None]
    assert [status.epoch for status in ends] == [1, 2]
    assert tuple(status.finished for status in ends) == history.epochs
    first = told[0]
    assert (first.epoch, first.epochs, first.samples, first.total) == (1, 2, 1024, 3000)
    assert (first.loss, first.accuracy, first.finished) == (10.0, 0.5, None)


def test_history_as_json() -> None:
    history = fit(RecordingNet(accuracies=(0.5, 0.7)), x, y, epochs=2, validation_data=validation)
    read = json.loads(history.to_json())
    assert read == history.to_dict()
    assert read["epochs"][1]["val_accuracy"] == 0.7
    assert read["interrupted"] is False
    assert json.loads(History().to_json())["epochs"] == []


@pytest.mark.parametrize("option", ["epochs", "patience", "halve_every"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_options_that_make_no_sense_are_refused(option: str, value: Any) -> None:
    net = RecordingNet(accuracies=(0.5,))
    options: dict[str, Any] = {"validation_data": validation, option: value}
    with pytest.raises(PocketgenError, match=option):
        fit(net, x, y, **options)
    assert net.seen == []


def test_patience_without_validation_is_refused() -> None:
    with pytest.raises(PocketgenError, match="validation_data"):
        fit(RecordingNet(), x, y, patience=3)


def test_empty_and_uneven_data_are_refused() -> None:
    net = RecordingNet()
    with pytest.raises(DataError, match="empty"):
        fit(net, x[:0], y[:0])
    with pytest.raises(DataError, match="10 samples but 9 labels"):
        fit(net, x, y[:9])
    with pytest.raises(DataError, match="validation data have 3 samples but 2"):
        fit(net, x, y, validation_data=(x[:3], y[:2]))
    assert net.seen == []


def test_data_that_do_not_fit_are_refused_before_training() -> None:
    net = RecordingNet(accuracies=(0.5,))
    wrong = np.where(np.arange(10) == 9, 7, y)
    with pytest.raises(DataError, match="beyond the outputs"):
        fit(net, x, wrong)
    with pytest.raises(DataError, match="beyond the outputs"):
        fit(net, x, y, validation_data=(x, wrong))
    assert net.seen == []


def test_the_history_tells_what_stands_at_its_clamp() -> None:
    history = fit(RecordingNet(), np.arange(10)[:, np.newaxis], np.zeros(10, np.uint16), 2)
    assert [row.clamped for row in history.epochs] == [{"W1": 10}, {"W1": 20}]
    assert history.to_dict()["epochs"][1]["clamped"] == {"W1": 20}
