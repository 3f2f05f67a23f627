from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from s2v.engine.backends.model_file import ModelFile
from s2v.engine.backends.tensorrt.engine_cache import EngineCache, EngineKey, default_folder, model_sha256
from s2v.errors import OutputError
from s2v.spec import LipSyncSpec

KEY = EngineKey("a" * 64, "tensorrt", "10.9.0", "NVIDIA L4 sm_89", "fp16", 16)
REPORT = {"build_s": 1.5, "parity": None}
OTHER_VALUES: dict[str, Any] = {
    "model_sha256": "b" * 64,
    "runtime": "tensorrt_rtx",
    "version": "10.9.1",
    "target": "NVIDIA L40S sm_89",
    "precision": "fp32",
    "max_batch": 8,
    "recipe": KEY.recipe + 1,
}


def test_what_is_kept_is_found_with_its_report(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "not" / "there")
    assert cache.find(KEY) is None
    kept = cache.keep(KEY, b"plan", REPORT)
    found = cache.find(KEY)
    assert found == kept and found is not None
    assert (found.plan, found.report) == (b"plan", REPORT)
    assert found.path.read_bytes() == b"plan"
    told = json.loads(found.report_path.read_text())
    assert told["key"] == dataclasses.asdict(KEY)
    assert (told["bytes"], told["report"]) == (4, REPORT)


def test_only_the_owner_may_enter_the_folder(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines")
    cache.keep(KEY, b"plan", REPORT)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EngineKey)])
def test_any_other_model_runtime_gpu_or_precision_is_another_engine(field: str, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.keep(KEY, b"plan", REPORT)
    other = dataclasses.replace(KEY, **{field: OTHER_VALUES[field]})
    assert cache.find(other) is None
    cache.keep(other, b"other", REPORT)
    assert [found.plan for key in (KEY, other) if (found := cache.find(key))] == [b"plan", b"other"]


def test_keeping_again_replaces_and_leaves_one_pair(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    first = cache.keep(KEY, b"first", REPORT)
    second = cache.keep(KEY, b"second", REPORT)
    assert not first.path.exists()
    assert sorted(tmp_path.iterdir()) == sorted([second.path, second.report_path])
    cache.drop(KEY)
    assert not list(tmp_path.iterdir())
    cache.drop(KEY)


@pytest.mark.parametrize(
    "damage", ["cut", "other bytes", "no engine", "no json", "text", "list", "other key", "no key"]
)
def test_a_damaged_pair_is_not_found_and_can_be_built_anew(damage: str, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    kept = cache.keep(KEY, b"plan", REPORT)
    told = json.loads(kept.report_path.read_text())
    match damage:
        case "cut":
            kept.path.write_bytes(b"pla")
        case "other bytes":
            kept.path.write_bytes(b"plaN")
        case "no engine":
            kept.path.unlink()
        case "no json":
            kept.report_path.unlink()
        case "text":
            kept.report_path.write_text("not JSON")
        case "list":
            kept.report_path.write_text("[]")
        case "other key":
            kept.report_path.write_text(json.dumps({**told, "key": {**told["key"], "version": "9"}}))
        case "no key":
            kept.report_path.write_text(json.dumps({"engine": told["engine"], "sha256": told["sha256"]}))
    assert cache.find(KEY) is None
    cache.keep(KEY, b"again", REPORT)
    found = cache.find(KEY)
    assert found is not None and found.plan == b"again"
    assert len(list(tmp_path.glob("*.engine"))) == 1


def test_a_json_never_reaches_outside_the_folder(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines")
    kept = cache.keep(KEY, b"plan", REPORT)
    kept.path.rename(tmp_path / "outside.engine")
    told = json.loads(kept.report_path.read_text())
    kept.report_path.write_text(json.dumps({**told, "engine": "../outside.engine"}))
    assert cache.find(KEY) is None


def test_an_engine_for_several_gpus_is_found_by_each_of_them(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    portable = dataclasses.replace(KEY, runtime="tensorrt_rtx", target="sm_86+sm_89")
    cache.keep(portable, b"portable", REPORT)
    cache.keep(dataclasses.replace(portable, precision="fp32"), b"exact", REPORT)
    cache.keep(dataclasses.replace(portable, version="1.0"), b"old", REPORT)
    (tmp_path / "tensorrt_rtx-fp16-0.json").write_text("damaged")
    wanted = dataclasses.replace(portable, target="sm_89")
    found = cache.find_portable(wanted, "sm_89")
    assert found is not None and (found.plan, found.key) == (b"portable", portable)
    assert cache.find_portable(wanted, "sm_8") is None
    assert cache.find_portable(wanted, "sm_120") is None


def test_timings_belong_to_one_runtime_and_gpu(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "engines")
    assert cache.read_timings(KEY) == b""
    cache.write_timings(KEY, b"")
    assert not cache.folder.exists()
    cache.write_timings(KEY, b"measured")
    assert cache.read_timings(dataclasses.replace(KEY, model_sha256="c" * 64, precision="fp32")) == b"measured"
    for field in ("runtime", "version", "target"):
        assert cache.read_timings(dataclasses.replace(KEY, **{field: OTHER_VALUES[field]})) == b""


def test_a_model_is_its_graph_and_its_spec_not_its_notes() -> None:
    model = ModelFile(Path("a.onnx"), LipSyncSpec(), b"frame", b"face", {"licence": "x"})
    same = dataclasses.replace(model, path=Path("b.onnx"), face_graph=b"other face", info={})
    assert model_sha256(same) == model_sha256(model)
    assert model_sha256(dataclasses.replace(model, frame_graph=b"framE")) != model_sha256(model)
    assert model_sha256(dataclasses.replace(model, spec=LipSyncSpec(n_motion=4))) != model_sha256(model)


def test_a_folder_that_cannot_be_written_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file" / "engines")
    with pytest.raises(OutputError, match=r"cannot write engines to .*S2V_CACHE"):
        cache.keep(KEY, b"plan", REPORT)


def test_the_folder_is_the_users_cache_unless_they_name_another() -> None:
    assert default_folder({}) == Path.home() / ".cache/speech2vid/engines"
    assert default_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/speech2vid/engines")
    assert default_folder({"XDG_CACHE_HOME": "/c", "S2V_CACHE": "/s"}) == Path("/s/engines")
    assert EngineCache().folder == default_folder()
