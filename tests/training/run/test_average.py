from __future__ import annotations

import pytest

pytest.importorskip("torch")
from torch import nn

from s2v.training.run.average import WeightAverage


def network(value: float) -> nn.Module:
    made = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    for tensor in (*made.parameters(), *made.buffers()):
        tensor.data.fill_(value)
    return made


def test_the_average_follows_weights_and_norms_and_copies_counters() -> None:
    average = WeightAverage(network(0.0), decay=0.5)
    for value in (8.0, 0.0, 4.0):
        average.update(network(value))
    # The first is taken whole; young averages keep 2/11, then 3/12 of what they were.
    wanted = (8.0 * 2 / 11) * 3 / 12 + 4.0 * 9 / 12
    for name, tensor in average.network.state_dict().items():
        assert tensor.item() == pytest.approx(4 if "num_batches" in name else wanted, rel=1e-5), name
    assert not any(weight.requires_grad for weight in average.network.parameters())


def test_an_old_average_forgets_at_its_decay() -> None:
    average = WeightAverage(network(0.0), decay=0.9)
    for _ in range(200):
        average.update(network(0.0))
    average.update(network(1.0))
    assert average.network.state_dict()["0.weight"].item() == pytest.approx(0.1, rel=1e-4)
    other = WeightAverage(network(5.0), decay=0.9)
    other.restore(average.state())
    other.update(network(1.0))
    assert other.network.state_dict()["0.weight"].item() == pytest.approx(0.19, rel=1e-4)
