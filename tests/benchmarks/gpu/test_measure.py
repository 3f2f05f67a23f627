"""The GPU benchmark where there is no GPU: its whole path on torch's CPU device, what it prints, what it refuses."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeBackend, drawn_face

pytest.importorskip("torch")
import torch

from s2v.benchmarks.gpu import backend as gpu_backend
from s2v.benchmarks.gpu.backend import GpuConfig, Job, measure_backend
from s2v.benchmarks.gpu.device import GpuDevice
from s2v.benchmarks.gpu.measure import all_gpu_backends, measure, on_gpu, steps
from s2v.benchmarks.gpu.report import BackendReport, BatchReport, GpuReport, targets_of
from s2v.benchmarks.peaks import known_peak
from s2v.benchmarks.report import Spread
from s2v.benchmarks.roofline import count, least
from s2v.cli import main
from s2v.engine.backends import BACKEND_NAMES, bundled_model
from s2v.errors import BackendError

ROOT = Path(__file__).parents[3]
H100 = "NVIDIA H100 80GB HBM3"
TINY = ["--batches", "1,2", "--frames", "3", "--size", "192", "--session-seconds", "0.1", "--most", "1"]


@pytest.fixture(scope="module")
def on_a_pretended_gpu() -> BackendReport:
    """torch's CPU device keeps faces, times itself and draws whole frames as a GPU does."""
    config = GpuConfig(
        ("torch-cpu",), (1, 2, 16), frames=3, face_batch=2, faces=(8, 16), session_s=0.1, most_sessions=1
    )
    device = GpuDevice(H100, {"driver_version": "1.2"}, known_peak(H100), step_us=1.5)
    model = bundled_model()
    face = drawn_face(model.spec, (192, 192))
    return measure_backend(Job(config, model, device, face), "torch-cpu", gpu=True)


def report_of(*backends: BackendReport) -> GpuReport:
    return GpuReport(
        {"name": H100}, 10, 5, 3, list(backends), {"tensorrt-fp16": "missing"}, [], targets_of([*backends]), []
    )


def test_each_batch_has_its_times_and_its_distance_from_the_roofline(on_a_pretended_gpu: BackendReport) -> None:
    one, two, many = on_a_pretended_gpu.batches
    peak = known_peak(H100)
    assert peak is not None
    for found in (one, two):
        assert found.network_ms.n == found.gpu_ms.n == found.wall_ms.n == found.runs == 3
        bound = least(count(bundled_model().frame_graph, found.batch, "fp16"), peak, "fp16")
        assert (found.roofline_ms, found.layered_ms, found.limited_by) == (bound.ms, bound.layered_ms, bound.limited_by)
        assert found.network_ms.p50 and found.reached == pytest.approx(bound.ms / found.network_ms.p50, abs=1e-4)
        assert found.frames_s == pytest.approx(1000 * found.batch / (found.wall_ms.p50 or 0), rel=0.01)
    assert many.in_parts_of == 8 and many.network_ms.n == 0 and many.wall_ms.n == 3, (
        "a batch of more than it runs at once"
    )
    assert one.in_parts_of is None


def test_whole_frames_memory_sessions_and_parity_are_there(on_a_pretended_gpu: BackendReport) -> None:
    found = on_a_pretended_gpu
    assert not found.failed and found.device_memory_mib and found.session_memory_kib is not None
    assert found.parity is not None and not found.parity.differs_visibly and found.parity.reference != "torch-cpu"
    assert [(f.pixels, f.idle, f.batch) for f in found.frames] == [
        *(("bgr", True, 1), ("nv12", True, 1), ("nv12", True, 2), ("nv12", False, 1))
    ]
    alone = [frame for frame in found.frames if frame.batch == 1]
    assert all(f.compose_ms.n and f.transfers_ms.n and f.both_ms.n and f.wall_ms.n and f.memory_mib for f in alone)
    for frame in found.frames:
        network = next(one.network_ms.p50 for one in found.batches if one.batch == frame.batch)
        assert frame.together_ms == pytest.approx((network or 0) + (frame.compose_ms.p50 or 0), abs=1e-3)
    assert alone[0].parity is not None and not alone[0].parity["differs_visibly"]
    for sessions in (found.sessions, found.sessions_batcher):
        assert sessions is not None and sessions.most == 1 and (sessions.best or sessions.first_failed)


def test_goals_take_the_best_of_half_precision(on_a_pretended_gpu: BackendReport) -> None:
    def batch(size: int, ms: float) -> BatchReport:
        spread = Spread.of([ms], digits=4)
        rate = 1000 * size / ms
        return BatchReport(size, 1, spread, spread, spread, 0.1, 0.1, "memory", 0.1, rate, rate, None)

    drawn = [replace(on_a_pretended_gpu.frames[0], together_ms=0.45, both_ms=Spread.of([0.6]))]
    quick = replace(
        on_a_pretended_gpu, name="quick", precision="fp16", batches=[batch(1, 0.2), batch(64, 2.0)], frames=drawn
    )
    slow = replace(quick, name="slow", batches=[batch(1, 0.4)], frames=[])
    exact = replace(quick, name="exact", precision="fp32", batches=[batch(1, 0.01)])
    network, frame, host, rate = targets_of([slow, quick, exact])
    assert (network.found, network.backend, network.reached) == (0.2, "quick", True)
    assert (frame.found, frame.reached) == (0.45, True) and (host.found, host.reached) == (0.6, False)
    assert (rate.found, rate.reached) == (32_000, True)
    assert targets_of([slow])[0].reached is False and targets_of([slow])[3].reached is False
    assert [target.reached for target in targets_of([exact])] == [None] * 4
    text = report_of(slow).as_text()
    assert "NOT REACHED" in text and "not measured" in text and "tensorrt-fp16: not measured: missing" in text


def test_what_differs_and_what_broke_is_listed(on_a_pretended_gpu: BackendReport) -> None:
    assert report_of(on_a_pretended_gpu).differs == report_of(on_a_pretended_gpu).failed == []
    assert on_a_pretended_gpu.parity is not None
    bad = replace(on_a_pretended_gpu, parity=replace(on_a_pretended_gpu.parity, differs_visibly=True), failed=["x: y"])
    first = on_a_pretended_gpu.frames[0]
    assert first.parity is not None
    ugly = replace(on_a_pretended_gpu, frames=[replace(first, parity=first.parity | {"differs_visibly": True})])
    report = report_of(bad, ugly)
    assert report.differs == ["torch-cpu", "torch-cpu, whole frames"] and report.failed == ["torch-cpu, x: y"]
    found = json.loads(report.as_json())
    assert found["differs"] == report.differs and found["failed"] == report.failed
    assert report.as_text().count("DIFFERS VISIBLY") == 2 and "FAILED: x: y" in report.as_text()


def test_a_part_that_breaks_does_not_cost_the_others(caplog: pytest.LogCaptureFixture) -> None:
    parts = gpu_backend._Parts("one", lambda _: None)
    with caplog.at_level(logging.ERROR, "s2v"):
        assert parts.attempt("memory", lambda: 1 // 0) is None
    assert parts.attempt("parity", lambda: 3) == 3
    assert parts.failed == ["memory: ZeroDivisionError('integer division or modulo by zero')"]
    assert "ZeroDivisionError" in caplog.text


def test_by_default_no_batch_is_measured_that_is_only_padded_to_the_next() -> None:
    few, anything = FakeBackend(), FakeBackend()
    few.batch_sizes = (1, 4, 16)
    assert gpu_backend._batches(gpu_backend.DEFAULT_BATCHES, few) == [1, 4, 16, 32, 64, 128, 256]
    assert gpu_backend._batches((1, 2), few) == [1, 2]
    assert gpu_backend._batches(gpu_backend.DEFAULT_BATCHES, anything) == [*gpu_backend.DEFAULT_BATCHES]


def test_all_backends_for_gpus_are_tried_and_no_other() -> None:
    names = all_gpu_backends()
    assert {"torch-cuda", "torch-cuda-fp32", "tensorrt-fp16"} <= set(names) <= set(BACKEND_NAMES)
    assert not any(map(on_gpu, ("torch-cpu", "onnxruntime", "openvino-f32", "torch")))
    assert all_gpu_backends().index("torch-cuda") < all_gpu_backends().index("torch-cuda-fp32")
    told: list[str] = []
    config = GpuConfig(("onnxruntime",), (1,), frames=1, most_sessions=0)
    report = measure(config, told.append)
    assert report.device is None and report.targets == [] and 0 < len(told) <= steps(config)
    (only,) = report.backends
    parts: list[tuple[list[str], list[str]]] = []
    twice = replace(config, backends=("onnxruntime", "torch-cpu"))
    final = measure(twice, so_far=lambda now: parts.append(([b.name for b in now.backends], now.pending)))
    assert parts == [(["onnxruntime-cpu"], ["torch-cpu"]), (["onnxruntime-cpu", "torch-cpu"], [])]
    assert final.pending == [] and len(final.backends) == 2
    assert only.sessions is None and only.frames == [] and only.batches[0].network_ms.n == 0


def test_the_command_prints_one_object_and_draws_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "gpu.png"
    options = ["--backend", "torch-cpu,onnxruntime", *TINY, "--most", "0"]
    assert main(["bench", "gpu", *options, "--json", "--plot", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [backend["name"] for backend in found["backends"]] == ["torch-cpu", "onnxruntime-cpu"]
    for backend in found["backends"]:
        assert [one["batch"] for one in backend["batches"]] == [1, 2]
        assert all(one["gpu_ms"]["p50"] is None and one["wall_ms"]["n"] == 3 for one in backend["batches"])
        assert all(one["roofline_ms"] is None and one["frames_s"] > 0 for one in backend["batches"])
        assert backend["parity"]["moved_max"] < 1e-4 and not backend["parity"]["differs_visibly"]
        assert backend["sessions"] is backend["sessions_batcher"] is None, "none were asked for"
    assert found["device"] is None and found["differs"] == found["failed"] == [] and found["versions"]["torch"]
    assert picture.read_bytes().startswith(b"\x89PNG") and [path.name for path in tmp_path.iterdir()] == ["gpu.png"]


def test_without_a_gpu_it_says_what_was_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for options in ([], ["--backend", "torch-cuda"], ["--backend", "torch-cpu,torch-cuda"]):
        assert main(["bench", "gpu", *options]) == 2
        out, err = capsys.readouterr()
        last = err.splitlines()[-1]
        assert out == "" and last.startswith("s2v: ") and "no CUDA device" in last and "--backend torch-cpu" in last


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backend", "abacus"], "abacus"),
        (["--backend", "onnxruntime", "--face", "nobody.jpg"], "nobody.jpg"),
        (["--backend", "onnxruntime", "--size", "128"], "too small"),
        (["--backend", "onnxruntime", "--model", "no.onnx"], "no.onnx"),
    ],
)
def test_what_cannot_be_used_is_one_line(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "gpu", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines()[-1].startswith("s2v: ") and said in err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--backend", ","],
        ["--batches", "0"],
        ["--batches", "1,,2"],
        ["--frames", "x"],
        ["--most", "-1"],
        ["--size", "64"],
    ],
)
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "gpu", *wrong])
    assert end.value.code == 2 and f"argument {wrong[0]}" in capsys.readouterr().err


BARE = """
import runpy, sys
for name in ("tqdm", "mediapipe", "av", "aiortc", "aioice", "aiohttp", "openvino", "prometheus_client", "matplotlib",
             "onnxruntime", "scipy", "pyaudio", "tensorrt", "tensorrt_rtx"):
    sys.modules[name] = None
sys.argv = ["bench-gpu", *sys.argv[1:]]
runpy.run_path("scripts/bench-gpu", run_name="__main__")
"""


def bare(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BARE, *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)


def test_the_script_needs_nothing_but_numpy_opencv_torch_and_onnx(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = bare("--backend", "torch-cpu", *TINY, "--out", str(out))
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
    assert found["backends"][0]["frames"] and found["backends"][0]["frames"][0]["parity"]["frames"] > 1
    assert found["backends"][0]["sessions"]["most"] == found["backends"][0]["sessions_batcher"]["most"] == 1
    assert "mean face" in found["notes"][0] and "torch-cpu" in done.stdout
    assert re.search(r"torch-cpu: batches of 2", done.stderr), "progress without a bar"


def test_the_script_without_a_gpu_writes_nothing(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = bare("--out", str(tmp_path / "found.json"))
    assert done.returncode == 2 and done.stdout == "" and not list(tmp_path.iterdir())
    assert done.stderr.splitlines()[-1].startswith("bench-gpu: no NVIDIA GPU can be used here")
    refused = bare("--out", str(tmp_path / "no" / "found.json"))
    assert refused.returncode == 2 and "no folder" in refused.stderr


@pytest.mark.gpu
def test_on_a_gpu_every_column_is_filled() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    config = GpuConfig(("torch-cuda",), (1, 4), frames=20, size_px=192, face_batch=2, session_s=0.2, most_sessions=8)
    report = measure(config)
    (only,) = report.backends
    assert report.device and report.device["name"] and not only.failed and not report.differs
    assert all(one.network_ms.n and one.gpu_ms.n and one.wall_ms.n for one in only.batches)
    assert only.device_memory_mib and only.session_memory_kib is not None and only.sessions and only.sessions_batcher
    assert all(frame.compose_ms.n and frame.together_ms for frame in only.frames if frame.batch == 1)
    assert all(target.reached is not None for target in report.targets)


@pytest.mark.gpu
def test_on_a_gpu_none_begins_late_that_nobody_asked_for() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    times_s = iter([0.0, *[1e6] * 20])
    with pytest.raises(BackendError, match="torch-cuda: left out after 300 s: measure it with --backend torch-cuda"):
        measure(GpuConfig(None, (1,), frames=1, most_sessions=0), clock_s=lambda: next(times_s))
