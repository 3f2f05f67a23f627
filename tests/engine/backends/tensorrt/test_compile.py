"""Engines in the cache, and how far they may differ, on a GPU that is none (`fake_tensorrt_machine`)."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the small test model is exported with torch")

from backend_comparison import inputs
from fake_tensorrt import FakeTensorRT
from fake_tensorrt_machine import Machine, model

from s2v.engine.backends.model_file import ModelFile
from s2v.engine.backends.tensorrt.build import BuildOptions
from s2v.engine.backends.tensorrt.compile import compile_model, open_engine
from s2v.errors import BackendError, ModelError


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_second_opening_builds_nothing(machine: Machine) -> None:
    machine.open().close()
    machine.open().close()
    assert machine.trt.builds == 1


def _another_version(machine: Machine) -> None:
    machine.trt.__version__ = "10.10.0"


def _another_gpu(machine: Machine) -> None:
    machine.device.name = "Fake L40S"


def _damage(machine: Machine) -> None:
    (engine,) = machine.cache.folder.glob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-1])


def _refused_engine(machine: Machine) -> None:
    """Whole and with the right key, but the driver will not have it."""
    compiled, graph = open_engine(
        model(), machine.trt.as_module(), machine.device, BuildOptions("fp32", 4), machine.cache
    )
    assert graph is not None
    graph.close()
    machine.cache.keep(compiled.key, b"of another driver", {"build_s": 1.0, "parity": compiled.parity})


@pytest.mark.parametrize("change", [_another_version, _another_gpu, _damage, _refused_engine])
def test_a_change_builds_a_new_engine_by_itself(change: Callable[[Machine], None], machine: Machine) -> None:
    machine.open().close()
    change(machine)
    backend = machine.open()
    identity, mfcc = inputs(backend, 1)
    backend.infer(mfcc, identity)
    assert machine.trt.builds == 2


def test_another_model_precision_or_batch_is_another_engine(machine: Machine) -> None:
    machine.open().close()
    machine.open(model("speech2vid")).close()
    machine.open(precision="fp16").close()
    machine.open(max_batch=2).close()
    assert machine.trt.builds == 4
    assert machine.trt.timings_seen == [b"", b"measured", b"measured", b"measured"]
    machine.open().close()
    assert machine.trt.builds == 4


def test_force_builds_again(machine: Machine) -> None:
    for force in (False, True):
        found = compile_model(
            model(), machine.trt.as_module(), machine.device, BuildOptions("fp32", 2), machine.cache, force=force
        )
        assert not found.reused
    assert machine.trt.builds == 2
    assert machine.device.held == 0


def test_the_parity_report_lies_beside_the_engine(machine: Machine) -> None:
    machine.open().close()
    (path,) = machine.cache.folder.glob("*.json")
    parity = json.loads(path.read_text())["report"]["parity"]
    assert parity["frames"] == 3 * (1 + 3 + 4)
    assert parity["max_difference"].keys() == {"motion", "tract"}
    assert (parity["moved_max"], parity["ssim_min"]) == (pytest.approx(0, abs=1e-6), None)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_an_engine_that_differs_visibly_is_not_kept_and_not_used(precision: str, machine: Machine) -> None:
    def spoil(outputs: dict[str, np.ndarray]) -> None:
        outputs["motion"][:, 0] += 0.05

    machine.trt.spoil = spoil
    other = "fp32" if precision == "fp16" else "onnxruntime"
    with pytest.raises(BackendError, match=rf"the {precision} engine differs visibly .*not kept: choose {other}"):
        machine.open(precision=precision)
    assert not list(machine.cache.folder.glob("*.engine"))
    assert not list(machine.cache.folder.glob("*.json"))
    gc.collect()
    assert machine.device.held == 0


def test_an_engine_built_without_a_gpu_is_compared_when_it_first_meets_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rtx=True)
    nowhere = FakeTensorRT(None, rtx=True)
    built = compile_model(model(), nowhere.as_module(), None, BuildOptions("fp32", 4), machine.cache)
    assert built.parity is None
    assert built.key.target == "sm_80+sm_86+sm_89+sm_120"
    machine.open().close()
    assert machine.trt.builds == 0, "the engine for several GPUs serves this one"
    (path,) = machine.cache.folder.glob("*.json")
    assert json.loads(path.read_text())["report"]["parity"]["moved_max"] < 1e-6


def test_a_bad_engine_built_without_a_gpu_is_thrown_away_when_it_first_meets_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rtx=True)
    compile_model(model(), FakeTensorRT(None, rtx=True).as_module(), None, BuildOptions("fp32", 4), machine.cache)
    machine.trt.spoil = lambda outputs: outputs["motion"].fill(np.nan)
    with pytest.raises(BackendError, match="differs visibly"):
        machine.open()
    assert not list(machine.cache.folder.glob("*.engine"))


def test_a_gpu_that_tensorrt_rtx_does_not_build_for_is_told_what_to_install(tmp_path: Path) -> None:
    machine = Machine(tmp_path, rtx=True, name="Fake H100", capability=(9, 0))
    with pytest.raises(BackendError, match=r"does not build for sm_90, only for sm_80, .*: pip install tensorrt"):
        machine.open()


def test_tensorrt_itself_builds_for_no_other_gpu(machine: Machine) -> None:
    with pytest.raises(BackendError, match="tensorrt builds for the GPU it runs on, not for sm_86"):
        machine.open(targets=("sm_86",))
    with pytest.raises(BackendError, match="there is none: use tensorrt_rtx"):
        compile_model(model(), machine.trt.as_module(), None, BuildOptions(), machine.cache)


def test_a_graph_that_does_not_fit_its_spec_is_refused_and_leaks_nothing(machine: Machine) -> None:
    fits, other = model("s2v"), model("speech2vid")
    mixed = ModelFile(fits.path, fits.spec, other.frame_graph, other.face_graph, {})
    with pytest.raises(ModelError, match="its frame graph takes"):
        machine.open(mixed)
    gc.collect()
    assert machine.device.held == 0
