from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeBackend
from pictures import read_picture

pytest.importorskip("matplotlib")

from s2v.commands.evaluate import report_on
from s2v.errors import DataError, OutputError
from s2v.training.evaluation.non_speech import bundled_voice, no_speech_sounds
from s2v.training.evaluation.phone_times import PHONE_MOMENTS, VOICE_TEXT
from s2v.training.evaluation.probes import at_least, at_most
from s2v.training.evaluation.report.contact_sheets import sheet, write_picture
from s2v.training.evaluation.report.portraits import portrait_sheet
from s2v.training.evaluation.report.report import (
    aligned,
    as_dict,
    as_markdown,
    as_text,
    picture_names,
    write_report,
)
from s2v.training.evaluation.results import MOTION_FIGURES, PICTURE_FIGURES
from s2v.training.evaluation.run import EvaluateConfig, Evaluation, evaluate, model_file_of

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def found(features: Path) -> Evaluation:
    """The bundled model on one second of an unseen talker."""
    config = EvaluateConfig((features / "other",), backend="onnxruntime", max_seconds=1.2)
    return evaluate(config, progress=False)


def test_an_unseen_talker_gets_every_figure(found: Evaluation) -> None:
    (clip,) = found.clips
    missing = {f.key for f in (*MOTION_FIGURES, *PICTURE_FIGURES)} - set(clip.figures)
    assert all(key.startswith("lse_") for key in missing)  # these need the user's SyncNet
    assert clip.name == "other/sbwe5n" and clip.seconds == 1.2
    figures = clip.figures
    assert figures["aperture_best"] > 0.5 and figures["drawn_aperture_best"] > 0.5
    assert figures["lmd"] < 6
    assert 15 < figures["psnr_mouth"] < 45 and 0.4 < figures["ssim_mouth"] < 1
    assert 0.4 < figures["sharpness"] < 2
    assert clip.film is not None and clip.drawn is not None and clip.prediction is not None
    assert len(clip.film) == len(clip.drawn) == len(clip.prediction) == 30
    assert len(clip.tiles) == 10


def test_nothing_but_the_lower_face_moves(found: Evaluation) -> None:
    assert found.clips[0].figures["jitter"] == found.faces[0].jitter == 0
    assert next(p for p in found.probes if "outside" in p.name).passed


def test_the_bundled_face_does_what_the_motion_asks(found: Evaluation) -> None:
    assert found.faces[0].follows > 0.8
    assert len(found.faces[0].tiles) == 1 + len(PHONE_MOMENTS)
    assert set(found.idle) == set(no_speech_sounds())
    assert found.idle["digital silence"]["drawn_opening"] < 0.02


def test_the_report_holds_everything_as_json_text_and_pictures(found: Evaluation, tmp_path: Path) -> None:
    write_report(found, tmp_path / "new" / "report")
    folder = tmp_path / "new" / "report"
    stored = json.loads((folder / "report.json").read_text())
    assert stored == json.loads(json.dumps(as_dict(found)))
    assert stored["model"]["sha256"] == found.model_sha256 and len(found.model_sha256) == 64
    assert stored["model"]["spec"]["fps"] == 25
    assert stored["machine"]["versions"]["numpy"] == np.__version__
    assert stored["sets"]["other"]["clips"] == 1
    assert {probe["name"] for probe in stored["probes"]} == {probe.name for probe in found.probes}
    for name in picture_names(found):
        assert cv2.imread(str(folder / name)) is not None, name
        assert name in as_markdown(found)
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.md", *picture_names(found)}
    for probe in found.probes:
        assert probe.line() in as_text(found)


@pytest.mark.parametrize("failing", [False, True])
def test_the_command_prints_one_object_and_its_exit_code_tells_of_the_probes(
    found: Evaluation, failing: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probes = [at_least("fine", 1.0, 0.5), at_most("poor", 2.0 if failing else 0.5, 1.0, "noise")]
    assert report_on(replace(found, probes=probes), tmp_path / "report", as_json=True) == int(failing)
    output = capsys.readouterr()
    assert [probe["passed"] for probe in json.loads(output.out)["probes"]] == [True, not failing]
    assert output.err == ("s2v: 1 of 2 probes failed: poor\n" if failing else "")
    assert (tmp_path / "report" / "report.json").exists()
    assert report_on(replace(found, probes=probes), None, as_json=False) == int(failing)
    assert f"{'FAIL' if failing else 'PASS'}  poor" in capsys.readouterr().out


def test_a_clip_that_cannot_be_used_is_listed_and_none_is_an_error(features: Path) -> None:
    config = EvaluateConfig((features / "other",), backend="onnxruntime", max_seconds=0.2)
    with pytest.raises(DataError, match="5 frames"):
        evaluate(config, progress=False)


def test_what_is_judged_is_a_model_file_a_checkpoint_or_the_bundled_model(tmp_path: Path) -> None:
    with model_file_of(Path("a.onnx")) as path:
        assert path == Path("a.onnx")
    with model_file_of(None) as path:
        assert path is None
    with pytest.raises(DataError, match=r"no checkpoint at .*b\.pt"), model_file_of(tmp_path / "b.pt"):
        pass


def test_every_phone_gives_a_portrait_a_mouth_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "sheet.jpg"
    drawn = portrait_sheet([DATA / "closed_lips.jpg"], FakeBackend(), out, progress=False)
    assert (drawn.rows, drawn.refused) == (1, {})
    page = read_picture(out)
    assert page.shape == (24 + 164, 9 * 164, 3)
    tiles = [page[24:184, 164 * i : 164 * i + 160].astype(int) for i in range(9)]
    assert all(np.abs(tile - tiles[0]).max() > 30 for tile in tiles[1:])  # each mouth differs from the one at rest


def test_a_portrait_that_is_refused_gives_its_place_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    cv2.imwrite(str(tmp_path / "faces" / "a.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(DataError, match="no face"):
        portrait_sheet([tmp_path / "faces"], FakeBackend(), tmp_path / "sheet.jpg", progress=False)
    assert not (tmp_path / "sheet.jpg").exists()


def test_the_moments_of_the_sheet_are_where_the_aligner_hears_those_phones() -> None:
    pytest.importorskip("pocketsphinx")
    from s2v.training.voices.phones import align

    phones = align((bundled_voice() * 32767).astype(np.int16), VOICE_TEXT)
    for moment in PHONE_MOMENTS:
        heard = next(phone for phone in phones if phone.start_s <= moment.time_s < phone.end_s)
        assert heard.name == moment.phone, moment


def test_a_sheet_leaves_room_for_its_words() -> None:
    tile = np.zeros((20, 30, 3), np.uint8)
    assert sheet([[tile, tile]]).shape == (24, 68, 3)
    assert sheet([[tile]], ["A"]).shape == (48, 34, 3)
    assert sheet([[tile]], beside=["word"]).shape[1] > 34 + 8


def test_a_picture_is_as_good_as_its_size_allows(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    write_picture(tmp_path / "large.jpg", noise)
    size = (tmp_path / "large.jpg").stat().st_size
    write_picture(tmp_path / "small.jpg", noise, max_bytes=size * 2 // 3)
    assert (tmp_path / "small.jpg").stat().st_size <= size * 2 // 3
    with pytest.raises(OutputError, match="at most 100"):
        write_picture(tmp_path / "tiny.jpg", noise, max_bytes=100)
    with pytest.raises(OutputError, match="gif"):
        write_picture(tmp_path / "a.gif", noise)
    assert {path.name for path in tmp_path.iterdir()} == {"large.jpg", "small.jpg"}


def test_columns_are_as_wide_as_they_must_be() -> None:
    assert aligned([["", "head"], ["long name", "1"]]) == "           head\nlong name     1"


def test_refused_photos_carry_their_reason(tmp_path: Path) -> None:
    from s2v.training.evaluation.unseen_faces import judge_face

    broken = tmp_path / "a.jpg"
    broken.write_bytes(b"no picture")
    refused = judge_face(broken, FakeBackend(), np.zeros(16_000, np.float32))
    assert "not an image" in refused.refused and np.isnan(refused.sharpness)
