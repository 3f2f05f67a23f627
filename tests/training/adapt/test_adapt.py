"""From films of one person to that person's model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from s2v.engine.avatar_factory import mouth_of_model
from s2v.engine.backends.model_file import read_model_file
from s2v.engine.face.mouth_look import MouthLook
from s2v.errors import DataError, OutputError
from s2v.training.adapt.adapt import AdaptConfig, adapt
from s2v.training.adapt.fit_motion import MotionFit
from s2v.training.evaluation.clips import features_folder


def extracted(features: Path, work: Path, n_films: int) -> Path:
    """A folder of films whose features are in `work`/me/features already."""
    films = work / "films"
    films.mkdir()
    out = features_folder(films, work / "me/features")
    out.mkdir(parents=True)
    for number in range(n_films):
        (films / f"clip{number:02}.mp4").write_bytes(b"not looked at")
        shutil.copy(features / "s1/pgid5s.npz", out / f"clip{number:02}.npz")
    return films


def test_a_model_of_one_person_comes_with_figures_and_licence(features: Path, tmp_path: Path) -> None:
    films = extracted(features, tmp_path, 12)
    config = AdaptConfig((films,), tmp_path / "me", motion=MotionFit(steps=20), mouth_frames=8)
    report = adapt(config, progress=False)
    file = read_model_file(tmp_path / "me/model.onnx")
    assert file.info["licence"] == "Apache-2.0" and "GRID" in file.info["train"]
    assert file.info["adapted"].startswith("to one person's film")
    assert report.mouth.look is not None
    assert mouth_of_model(report.model) == MouthLook.from_json(report.mouth.look.to_json())
    stored = json.loads((tmp_path / "me/adapt.json").read_text())
    assert stored == json.loads(json.dumps(report.as_dict()))
    assert report.learned_s + report.held_s == pytest.approx(36, abs=1)
    assert stored["held_back"]["after"]["closed"] >= stored["held_back"]["before"]["closed"] - 0.02
    assert f"s2v live --model {report.model}" in report.text()
    with pytest.raises(OutputError, match=r"model\.onnx exists: replace it with --force"):
        adapt(config, progress=False)


def test_too_little_film_leaves_no_model_and_what_was_extracted(features: Path, tmp_path: Path) -> None:
    films = extracted(features, tmp_path, 3)
    with pytest.raises(DataError, match="of speech were found, wanted 15"):
        adapt(AdaptConfig((films,), tmp_path / "me"), progress=False)
    assert len(list((tmp_path / "me/features").rglob("*.npz"))) == 3
    assert not (tmp_path / "me/model.onnx").exists() and not (tmp_path / "me/adapt.json").exists()


def test_weights_that_are_none_are_refused_before_films_are_looked_at(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no weights at .*no\.safetensors"):
        adapt(AdaptConfig((tmp_path / "none.mp4",), tmp_path / "me", tmp_path / "no.safetensors"), progress=False)
    assert not (tmp_path / "me").exists()
