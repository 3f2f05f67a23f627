"""Two processes train as one does with the double batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch

from s2v.errors import DataError
from s2v.training.networks.model import read_checkpoint
from s2v.training.run.processes import Processes, launch, processes_wanted

SCRIPT = Path(__file__).parents[2] / "helpers" / "two_training_processes.py"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def of_two(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two gloo processes have written."""
    out = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, str(SCRIPT), str(shards), str(out)],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_two_processes_give_what_one_gives_with_the_double_batch(shards: Path, of_two: Path) -> None:
    from two_training_processes import small_training

    losses, gradients = small_training(shards, Processes(torch.device("cpu")))
    losses_of_two, gradients_of_two = torch.load(of_two / "small.pt", weights_only=True)
    assert losses[-1] < losses[0]
    assert losses_of_two == pytest.approx(losses, rel=1e-4)
    assert gradients_of_two.keys() == gradients.keys() and gradients
    greatest = float(max(gradient.abs().max() for gradient in gradients.values()))
    for name, gradient in gradients.items():  # not weights: of rounding alone Adam, too, makes a whole step
        torch.testing.assert_close(gradients_of_two[name], gradient, rtol=1e-3, atol=1e-5 * greatest)


def test_only_the_first_process_writes(of_two: Path) -> None:
    files = {path.name for path in (of_two / "run").iterdir()}
    assert files == {"last.pt", "best.pt", "history.json", "tensorboard"}
    state = read_checkpoint(of_two / "run" / "last.pt")
    assert [record["step"] for record in state["history"]] == [1, 2]
    assert state["processes"] == 2
    assert len(list((of_two / "run" / "tensorboard").iterdir())) == 1


def test_started_by_ourselves_they_are_together_and_the_first_ones_result_comes_back() -> None:
    from two_training_processes import sum_of_ranks

    assert launch(2, sum_of_ranks, 10) == 21
    with pytest.raises(DataError, match="-1 is too low"):
        launch(2, sum_of_ranks, -1)


def test_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(DataError, match=r"-gpu 99: this machine has \d+ CUDA GPUs"):
        processes_wanted(99)
    assert processes_wanted(0) == 1
