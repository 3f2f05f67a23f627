"""On a Ray cluster of two processes, which one of them may leave at any moment."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install -e '.[train,ray]'", allow_module_level=True)

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.cluster.connection import ray_connection
from s2v.training.cluster.ray_jobs import ray_jobs
from s2v.training.extract.extract_features import extract_features

DATA = Path(__file__).parents[2] / "data"
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.")  # of Ray, about its own defaults


HEAD = """
import sys
from s2v.training.cluster.connection import ray_connection
with ray_connection("local", 2):
    import ray
    print(ray.get_runtime_context().gcs_address, file=sys.__stdout__, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Cluster:
    address: str
    pid: int  # of its head


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of two processes; this process is connected to it."""
    command = [sys.executable, "-c", HEAD]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as head:
        assert head.stdin is not None
        assert head.stdout is not None
        address = head.stdout.readline().strip()
        if not address and "timed out" in (head.stderr.read() if head.stderr else ""):
            pytest.skip("the machine is too crowded: Ray did not start within its own 30 s, three times")
        with ray_connection(address):
            yield Cluster(address, head.pid)
        head.stdin.close()


def processes_at_work(head: int) -> list[int]:
    """Ids of the cluster's processes that do a job now. Args: head: id of the process that has started all others."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_text().partition("\0")[0]
        except (OSError, ValueError):  # it has ended
            continue
    return [pid for pid, title in titles.items() if title.startswith("ray::Map") and _is_below(head, pid, parents)]


def _is_below(head: int, pid: int, parents: dict[int, int]) -> bool:
    while pid > 1 and pid != head:
        pid = parents.get(pid, 0)
    return pid == head


def kill_one_when(ready: Callable[[], bool], head: int, killed: list[int]) -> threading.Thread:
    """Kill a process at work as soon as `ready` says so."""

    def watch() -> None:
        while not killed:
            if ready() and (pids := processes_at_work(head)):
                os.kill(pids[0], signal.SIGKILL)
                killed.append(pids[0])
            time.sleep(0.01)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def report_of(features: Path) -> dict[str, dict[str, Any]]:
    """What is told of each clip, but for when its file was copied."""
    lines = [json.loads(line) for line in (features / "report.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines)
    return {line["id"]: line | {"modified_ns": 0} for line in lines}


def test_features_and_report_are_what_one_process_finds_though_a_worker_is_killed(
    cluster: Cluster, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, place in {
        "grid_s1_pgid5s.mp4": "s1/pgid5s.mp4",
        "grid_other_sbwe5n.mp4": "other/sbwe5n.mp4",
        "open_smile.jpg": "people/01_smiling.jpg",
        "closed_lips.jpg": "people/02_neutral.jpg",
    }.items():
        (tmp_path / "data" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / name, tmp_path / "data" / place)
    killed: list[int] = []
    killer = kill_one_when(lambda: any(Path("out").rglob("*.npz")), cluster.pid, killed)
    # Paths as they are mostly given: a worker has another folder to start from.
    report = extract_features(Path("data"), Path("out"), progress=False, ray=cluster.address)
    killer.join(60)
    assert len(killed) == 1
    assert (report.done, report.failed) == (4, {})
    assert report_of(tmp_path / "out") == report_of(features)
    made = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.npz")}
    assert made == {path.relative_to(features) for path in features.rglob("*.npz")} - {Path("s1/again.npz")}
    for path in made:
        ours, theirs = dict(np.load(tmp_path / "out" / path)), dict(np.load(features / path))
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if name != "record" and not np.array_equal(ours[name], theirs[name])] == []
    assert not list((tmp_path / "out").rglob(".*"))


def test_shards_are_byte_for_byte_those_of_one_process(
    cluster: Cluster, features: Path, shards: Path, tmp_path: Path
) -> None:
    pytest.importorskip("webdataset")
    from s2v.training.prepare.make_shard import PrepareSettings
    from s2v.training.prepare.prepare_data import prepare_data

    settings = PrepareSettings(LipSyncSpec(), validation=("other",), pictures_per_clip=4, seed=0)
    prepare_data(features, tmp_path / "shards", settings, progress=False, ray=cluster.address)
    whole = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (shards, tmp_path / "shards")]
    assert whole[0] == whole[1]


def test_a_job_is_done_once_though_it_is_begun_again_and_given_up_if_it_kills_each_time(
    cluster: Cluster, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()

    def work(job: int) -> int:
        earlier = len(list(begun.glob(f"{job}-*")))
        (begun / f"{job}-{earlier}").touch()
        if job == 7 or (job == 3 and not earlier):
            os.kill(os.getpid(), signal.SIGKILL)
        return job**2

    with ray_jobs(cluster.address, 2, tmp_path, tmp_path / "out") as run:
        made = sorted(run(work, range(10), lambda job: -job))
    assert made == [-7, 0, 1, 4, 9, 16, 25, 36, 64, 81]
    times = [len(list(begun.glob(f"{job}-*"))) for job in range(10)]
    assert times == [1, 1, 1, 2, 1, 1, 1, 3, 1, 1]
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_job_raises_is_raised_here(cluster: Cluster, tmp_path: Path) -> None:
    def work(job: int) -> float:
        return 1 / job

    with pytest.raises(ZeroDivisionError), ray_jobs(cluster.address, 2, tmp_path, tmp_path / "out") as run:
        list(run(work, [0]))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_a_machine_does_not_see_is_named_with_the_machine(cluster: Cluster, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    with (
        pytest.raises(DataError, match=rf"^{socket.gethostname()} .* does not see {elsewhere} .* all machines share"),
        ray_jobs(cluster.address, 2, elsewhere, tmp_path / "out") as run,
    ):
        list(run(abs, [1]))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:{closed}", "no Ray cluster at .* refused"),
        ("ray://127.0.0.1:{closed}", "--ray auto"),
        ("head", "is no Ray address: local, auto, or HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(address: str, why: str) -> None:
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match=why), ray_connection(address.format(closed=bound.getsockname()[1])):
            raise AssertionError("connected")
