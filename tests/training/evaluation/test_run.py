from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeBackend
from pictures import read_picture

pytest.importorskip("matplotlib")

from s2v.bundled import PHONES_VOICE
from s2v.commands.evaluate import report_on
from s2v.errors import DataError, OutputError
from s2v.media.video_file import read_sound
from s2v.training.evaluation.clip_phones import bundled_phones
from s2v.training.evaluation.clips import find_clips, load_clip
from s2v.training.evaluation.jobs import LONG_TALKS, MOVING_FACES, photo_jobs
from s2v.training.evaluation.measures.head.curves import KEYS, QUANTITIES
from s2v.training.evaluation.measures.head.motion import AMOUNTS
from s2v.training.evaluation.measures.non_speech import no_speech_sounds
from s2v.training.evaluation.measures.phone_classes import grouped
from s2v.training.evaluation.measures.probes import at_least, at_most
from s2v.training.evaluation.phone_times import PHONE_MOMENTS, VOICE_TEXT
from s2v.training.evaluation.report.contact_sheets import sheet, write_picture
from s2v.training.evaluation.report.mouth_tables import class_rows
from s2v.training.evaluation.report.portraits import portrait_sheet
from s2v.training.evaluation.report.report import (
    aligned,
    as_dict,
    as_markdown,
    as_text,
    picture_names,
    tables,
    write_report,
)
from s2v.training.evaluation.results import FACE_FIGURES, MOTION_FIGURES, PICTURE_FIGURES, ClipResult
from s2v.training.evaluation.run import EvaluateConfig, Evaluation, evaluate, model_file_of

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def found(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """The bundled model on the first second of an unseen talker who says "set blue with e five now", and a smile."""
    pytest.importorskip("pocketsphinx")
    words, faces = tmp_path_factory.mktemp("words") / "words.tsv", tmp_path_factory.mktemp("faces")
    said = "".join(f"sbwe5n\t0\t1\t{word}\n" for word in ["set", "blue", "with", "e", "five", "now"])
    words.write_text(f"clip\tstart_s\tend_s\tword\n{said}")
    shutil.copy(DATA / "open_smile.jpg", faces / "smile.jpg")
    config = EvaluateConfig((features / "other",), backend="onnxruntime", max_seconds=1.2, words=words, faces=faces)
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


def test_phones_of_the_whole_recording_are_told_on_the_part_that_is_read(found: Evaluation) -> None:
    (clip,) = found.clips
    assert clip.not_aligned == "" and set(clip.classes) == {"film", "asked", "drawn"}
    # Of "set blue with e five now" the first 1.2 s.
    assert {"S", "EH", "T", "B", "L", "UW"} <= {phone for phone, found in clip.classes["film"].items() if len(found)}
    assert not len(clip.classes["film"]["AW"])
    film, asked = (grouped([clip.classes[whose]])["P B M"].means for whose in ("film", "asked"))
    assert film[0] < 0.05 and asked[0] != film[0]
    stored = as_dict(found)["phones"]
    assert stored["drawn"]["classes"]["P B M"]["spoken"] == 1
    rows = {row[0]: row for row in class_rows(found.clips)}
    assert rows["P B M"][1] == "1" and rows["P B M"][2] == f"{100 * film[0]:.1f}"
    assert "SH CH JH" not in rows  # never spoken
    without = [replace(clip, classes={})]
    assert class_rows(without) == [] and "--words FILE" in as_text(replace(found, clips=without))
    assert "--words FILE" not in as_text(found)


def test_a_clip_whose_text_does_not_fit_is_listed(features: Path, tmp_path: Path) -> None:
    (tmp_path / "words.tsv").write_text("clip\tstart_s\tend_s\tword\nsbwe5n\t0\t1\tqqxzzv\n")
    (file,) = find_clips([features / "other"], tmp_path, progress=False, words=tmp_path / "words.tsv")
    assert file.text == "qqxzzv"
    with pytest.raises(DataError):
        load_clip(file).phones(" ")


def test_the_mouth_of_a_smile_is_looked_into(found: Evaluation) -> None:
    (face,) = found.faces
    assert set(face.mouth) <= {figure.key for figure in FACE_FIGURES}
    assert {"grey_redness", "grey_chroma", "teeth_left"} <= set(face.mouth)
    assert 0 <= face.mouth["teeth_left"] < 0.3
    assert as_dict(found)["faces"]["smile"]["grey_redness"] == round(face.mouth["grey_redness"], 4)
    names = " ".join(probe.name for probe in found.probes)
    for question in ("width follows", "as fast as", "closed too", "-30 dB", "grey photo", "teeth left"):
        assert question in names, question


def test_nothing_but_the_lower_face_moves(found: Evaluation) -> None:
    assert found.clips[0].figures["jitter"] == found.faces[0].jitter == 0
    assert next(p for p in found.probes if "outside" in p.name).passed


def test_a_smile_does_what_the_motion_asks(found: Evaluation) -> None:
    assert found.faces[0].follows > 0.8
    assert len(found.faces[0].tiles) == 1 + len(PHONE_MOMENTS)
    assert set(found.idle) == set(no_speech_sounds())
    assert found.idle["digital silence"]["drawn_opening"] < 0.02


def test_heads_that_move_are_told_beside_film_and_free_talkers(found: Evaluation) -> None:
    (clip,), (face,) = found.clips, found.faces
    for quantity in KEYS:
        for amount in AMOUNTS:
            assert {f"head_{quantity}_{amount}", f"head_{quantity}_{amount}_film"} <= clip.figures.keys()
    assert clip.heads is not None
    assert len(clip.heads.film) == len(clip.heads.drawn) == 30 and len(clip.heads.tiles) == 3
    # The head moves, and only in the passes made for it: `jitter` of the others stays 0.
    assert 0 < clip.figures["head_x_sd"] < 0.3
    assert face.head["face_sharpness"] == pytest.approx(1, abs=0.15)
    assert face.head["same_opening"] > 0.9 and face.head["x_speed"] > 0
    assert np.isnan(face.head["y_follows"])  # 1.2 s are too short for that
    stored = as_dict(found)
    assert stored["faces"]["smile"]["head_x_sd"] == round(face.head["x_sd"], 4)
    assert stored["sets"]["other"]["head_pitch_speed_film"] == round(clip.figures["head_pitch_speed_film"], 4)
    titles = dict(tables(found))
    beside_film = next(rows for title, rows in titles.items() if title.startswith("Head of other (1)"))
    assert [row[0].split(",")[0] for row in beside_film[1:]] == [
        quantity.title.split(",")[0] for quantity in QUANTITIES
    ]
    x = beside_film[1]
    assert float(x[3]) == pytest.approx(clip.figures["head_x_sd"] / clip.figures["head_x_sd_film"], abs=0.01)
    assert any(title.startswith("Heads of unseen faces beside") for title in titles)
    habits = {row[0]: row[1:] for row in titles["Heads of unseen faces: voice, holds, blinks and picture"]}
    assert habits[""] == ["free talkers", "median of 1"]
    assert habits["sharpness of the face over the photo's"] == ["-", f"{face.head['face_sharpness']:.3f}"]
    names = " ".join(probe.name for probe in found.probes)
    assert "as sharp as its photo" in names and "free talkers" not in names  # too short to ask how it moves
    assert not any("Head" in title for title, _ in tables(replace(found, clips=[_without_head(clip)], faces=[])))


def _without_head(clip: ClipResult) -> ClipResult:
    kept = {key: value for key, value in clip.figures.items() if not key.startswith("head_")}
    return replace(clip, figures=kept, heads=None)


def test_of_many_photos_some_move_their_heads_and_fewer_talk_longer() -> None:
    photos = [Path(f"{index}.jpg") for index in range(40)]
    jobs = photo_jobs(None, "auto", photos, None)
    assert sum(job.moves_head for job in jobs) == MOVING_FACES
    assert sum(job.talks_longer for job in jobs) == LONG_TALKS
    assert all(job.moves_head for job in jobs if job.talks_longer)
    assert jobs[0].talks_longer and jobs[-1].talks_longer
    assert all(job.talks_longer for job in photo_jobs(None, "auto", photos[:2], None))


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
    assert page.shape == (24 + 164, (1 + len(PHONE_MOMENTS)) * 164, 3)
    tiles = [page[24:184, 164 * i : 164 * i + 160].astype(int) for i in range(1 + len(PHONE_MOMENTS))]
    assert all(np.abs(tile - tiles[0]).max() > 30 for tile in tiles[1:])  # each mouth differs from the one at rest


def test_portraits_given_one_by_one_come_first_and_all_in_their_order(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for name in "abc":
        shutil.copy(DATA / "closed_lips.jpg", folder / f"{name}.jpg")
    smile, out = DATA / "open_smile.jpg", tmp_path / "sheet.png"
    drawn = portrait_sheet([folder, smile, DATA / "closed_lips.jpg"], FakeBackend(), out, n_rows=1, progress=False)
    assert drawn.rows == 3
    page = read_picture(out)
    first, second, third = (page[24 + 164 * i : 184 + 164 * i, :160].astype(int) for i in range(3))
    assert np.abs(first - second).mean() > 10
    np.testing.assert_array_equal(second, third)


def test_a_portrait_that_is_refused_gives_its_place_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    cv2.imwrite(str(tmp_path / "faces" / "a.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(DataError, match="no face"):
        portrait_sheet([tmp_path / "faces"], FakeBackend(), tmp_path / "sheet.jpg", progress=False)
    assert not (tmp_path / "sheet.jpg").exists()


def test_the_moments_of_the_sheet_are_where_the_aligner_hears_those_phones() -> None:
    pytest.importorskip("pocketsphinx")
    from s2v.training.voices.phones import align

    phones = align(read_sound(PHONES_VOICE), VOICE_TEXT)
    assert [phone.name for phone in phones] == [phone.name for phone in bundled_phones()]
    for heard, written in zip(phones, bundled_phones(), strict=True):
        assert heard.start_s == pytest.approx(written.start_s, abs=1e-3), written
    for moment in PHONE_MOMENTS:
        heard = next(phone for phone in phones if phone.start_s <= moment.time_s < phone.end_s)
        assert heard.name == moment.phone, moment


def test_words_that_belong_to_no_clip_are_refused(features: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.tsv"
    words.write_text("clip\tstart_s\tend_s\tword\nsomebody\t0\t1\tbin\n")
    config = EvaluateConfig((features / "other",), backend="onnxruntime", cache=tmp_path, words=words)
    with pytest.raises(DataError, match=r"names none of the clips, but somebody"):
        evaluate(config, progress=False)


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
