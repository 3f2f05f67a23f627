"""Two networks side by side: a stand-in for the baseline, in a folder of its own. Ratios are never asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from s2v.benchmarks.baselines.checkout import baseline_network, try_inputs
from s2v.benchmarks.baselines.comparison import time_in_pairs
from s2v.benchmarks.baselines.source import BaselineSource, RuntimePair
from s2v.benchmarks.timed_run import Run, TimedRun
from s2v.cli import main
from s2v.errors import ModelError

WAV2LIP = """
import torch
from torch import nn
from .parts import Flat


class Wav2Lip(nn.Module):
    def __init__(self):
        super().__init__()
        self.voice = Flat(80 * 16, 4)
        self.face = nn.Conv2d(6, 4, 3, padding=1)
        self.out = nn.Conv2d(4, 3, 1)

    def forward(self, mel, faces):
        return torch.sigmoid(self.out(self.face(faces) + self.voice(mel)[:, :, None, None]))


class Greedy(nn.Module):
    def __init__(self, size):
        super().__init__()


class NoNetwork:
    pass
"""
PARTS = """
from torch import nn


class Flat(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1))
"""
MULTIPLY_ADDS = 80 * 16 * 4 + 96 * 96 * (6 * 4 * 9 + 4 * 3)
FEW = ["--device", "cpu", "--batches", "1,2", "--runs", "2"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "baseline"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "__init__.py").write_text("from .wav2lip import Wav2Lip\n")
    (folder / "models" / "wav2lip.py").write_text(WAV2LIP)
    (folder / "models" / "parts.py").write_text(PARTS)
    return folder


def source(folder: Path, name: str = "Wav2Lip", weights: Path | None = None) -> BaselineSource:
    return BaselineSource(folder, "models.wav2lip", name, ((1, 80, 16), (6, 96, 96)), weights)


def test_both_are_run_and_said_what_they_are(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "peers", "--wav2lip", str(checkout), *FEW, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "cpu" and [(d["batch"]) for d in found["timings"]] == [1, 2, 1, 2]
    assert found["timings"][0]["how"].startswith("torch") and found["timings"][-1]["how"].startswith("ours ")
    for one in found["timings"]:
        assert one["ours"]["wall_ms"]["n"] == one["baseline"]["wall_ms"]["n"] == 2
        assert one["ours"]["gpu_ms"]["p50"] is None and one["ratio"] > 0 and 0 <= one["faster"] <= 1
    assert found["baseline"]["multiply_adds"] == MULTIPLY_ADDS and found["baseline"]["outputs"] == [[3, 96, 96]]
    assert found["baseline"]["parameters"] == 80 * 16 * 4 + 4 + (6 * 9 + 1) * 4 + (4 + 1) * 3
    assert found["ours"]["multiply_adds"] > 1e6 and "10 coefficients that move" in found["ours"]["about"]
    assert found["ours"]["outputs"] == [[10], [5]]
    assert any("random" in note for note in found["notes"]) and found["versions"]["torch"]
    assert main(["bench", "peers", "--wav2lip", str(checkout), *FEW]) == 0
    text = capsys.readouterr().out
    assert "ratio" in text and "million multiply-adds a frame" in text and "96x96" in text


def test_nothing_of_the_peer_stays_behind(checkout: Path) -> None:
    path, modules = list(sys.path), {name: module for name, module in sys.modules.items() if "models" in name}
    mine = type(sys)("models")
    sys.modules["models"] = mine
    try:
        with baseline_network(source(checkout)) as network:
            assert not network.training and not any(weights.requires_grad for weights in network.parameters())
            assert sys.modules["models"] is not mine and "models.parts" in sys.modules
        assert sys.modules["models"] is mine and "models.parts" not in sys.modules and sys.path == path
        with pytest.raises(ModelError), baseline_network(source(checkout, "Greedy")):
            pass
        assert sys.modules["models"] is mine and sys.path == path
    finally:
        del sys.modules["models"]
        sys.modules.update(modules)


def test_weights_of_a_checkpoint_are_loaded_also_those_of_several_gpus(checkout: Path, tmp_path: Path) -> None:
    with baseline_network(source(checkout)) as network:
        state = {f"module.{name}": torch.full_like(value, 0.25) for name, value in network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    with baseline_network(source(checkout, weights=tmp_path / "weights.pth")) as network:
        assert all((value == 0.25).all() for value in network.state_dict().values())
    torch.save({"state_dict": {"other": torch.zeros(1)}}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    for name, said in (
        ("other", "do not fit"),
        ("list", "state_dict"),
        ("text", "cannot be read"),
        ("none", "none.pth"),
    ):
        with (
            pytest.raises(ModelError, match=said),
            baseline_network(source(checkout, weights=tmp_path / f"{name}.pth")),
        ):
            pass


def test_settings_of_torch_are_left_as_they_were(checkout: Path) -> None:
    from s2v.benchmarks.baselines.torch_runs import _exact_fp32, _one_thread

    def settings() -> tuple[object, ...]:
        cudnn: Any = torch.backends.cudnn  # not all that is in it is declared
        matmul = torch.backends.cuda.matmul
        return torch.get_num_threads(), cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark

    before = settings()
    for guard in (_one_thread, _exact_fp32):
        with pytest.raises(ZeroDivisionError), guard():
            changed = settings()
            raise ZeroDivisionError
        assert settings() == before
    assert changed[1:3] == ("ieee", "ieee")


def test_outputs_of_any_nesting_are_counted(checkout: Path) -> None:
    class Nested(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, object]:
            return {"a": x, "b": [x[:, :1], (x[:, :, :2],)], "c": "no tensor"}

    shapes, multiply_adds = try_inputs(Nested(), ((3, 4),))
    assert shapes == ((3, 4), (1, 4), (3, 2)) and multiply_adds == 0


def test_they_take_turns_and_the_warm_up_does_not_count() -> None:
    calls: list[str] = []

    def side(name: str, ms: float, gpu_ms: float | None) -> Run:
        def run() -> TimedRun:
            calls.append(name)
            return TimedRun(1000.0 if len(calls) <= 10 else ms, gpu_ms)

        return run

    pair = RuntimePair("how", lambda _: side("ours", 2.0, None), lambda _: side("baseline", 5.0, None))
    found = time_in_pairs(pair, batch=4, runs=6)
    assert calls[:4] == ["baseline", "ours", "ours", "baseline"] and len(calls) == 2 * (5 + 6)
    assert found.ratio == 2.5 and found.faster == 1.0 and found.ours.frames_s == 2000
    assert found.ours.wall_ms.highest == 2.0 and found.baseline.wall_ms.n == 6
    on_gpu = RuntimePair("how", lambda _: side("ours", 2.0, 0.1), lambda _: side("baseline", 5.0, 0.3))
    assert time_in_pairs(on_gpu, 1, 6).ratio == 3.0, "by the GPU's clock where there is one"


def test_an_exported_peer_runs_through_onnx_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    from s2v.engine.backends import bundled_model

    model = tmp_path / "baseline.onnx"
    model.write_bytes(bundled_model().frame_graph)  # any network with an open batch
    assert main(["bench", "peers", "--onnx", str(model), *FEW, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        found["baseline"]["name"] == "baseline.onnx"
        and found["baseline"]["multiply_adds"] == found["ours"]["multiply_adds"]
    )
    assert found["timings"][0]["how"].startswith("ONNX Runtime")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--wav2lip", "{}/nowhere"], "there is no"),
        (["--peer", "{}/baseline:models.wav2lip:Nobody", "--inputs", "1x80x16,6x96x96"], "Nobody"),
        (["--peer", "{}/baseline:models.wav2lip:Greedy", "--inputs", "1x80x16"], "must need no arguments"),
        (["--peer", "{}/baseline:models.wav2lip:NoNetwork", "--inputs", "1x80x16"], "must be a torch.nn.Module"),
        (["--peer", "{}/baseline:models.wav2lip:Wav2Lip", "--inputs", "1x80x16,3x96x96"], "does not take inputs"),
        (["--peer", "{}/baseline:models.wav2lip:Wav2Lip", "--inputs", "1x80x16"], "does not take inputs"),
        (["--peer", "{}/baseline:models.wav2lip", "--inputs", "1x80x16"], "package.module:Class"),
        (["--peer", "{}/baseline:models.wav2lip:Wav2Lip"], "--inputs"),
        (["--wav2lip", "{}/baseline", "--inputs", "1x80x16"], "--inputs belongs"),
        (["--onnx", "{}/none.onnx"], "there is no"),
        (["--onnx", "{}/baseline/models/parts.py"], "not an ONNX model"),
        (["--onnx", "{}/none.onnx", "--weights", "w.pth"], "--weights belongs"),
        (["--wav2lip", "{}/baseline", "--weights", "{}/none.pth"], "none.pth"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    options: list[str], said: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "peers", *(option.format(checkout.parent) for option in options), *FEW]) == 2
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert out == "" and last.startswith("s2v: ") and said in last


def test_a_gpu_that_is_not_there_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["bench", "peers", "--wav2lip", str(checkout), "--device", "cuda"]) == 2
    assert "sees no CUDA device" in capsys.readouterr().err


@pytest.mark.gpu
def test_on_a_gpu_both_run_eagerly_and_as_graphs(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    options = ["--device", "cuda", "--batches", "1,2", "--runs", "3", "--json"]
    assert main(["bench", "peers", "--wav2lip", str(checkout), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["how"] for one in found["timings"]} == {
        f"{how}, {p}" for how in ("eager", "CUDA graph") for p in ("fp32", "fp16")
    }
    assert all(one["ours"]["gpu_ms"]["n"] == one["baseline"]["gpu_ms"]["n"] == 3 for one in found["timings"])


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--wav2lip", "a", "--onnx", "b"],
        ["--peer", "a:b:c", "--inputs", "1xa"],
        ["--wav2lip", "a", "--runs", "0"],
    ],
)
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "peers", *wrong])
    assert end.value.code == 2 and capsys.readouterr().out == ""
