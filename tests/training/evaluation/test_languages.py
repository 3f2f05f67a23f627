"""The table of languages: from motion and phones alone, for each folder, with the worst language deciding."""

from __future__ import annotations

import json
import wave
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeBackend
from numpy.typing import NDArray

pytest.importorskip("av")

from s2v.engine.face.geometry import MOUTH_CORNERS
from s2v.engine.face.motion_basis import MotionBasis
from s2v.errors import DataError, OutputError
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.languages import (
    LanguageFigures,
    Languages,
    as_dict,
    as_text,
    evaluate_languages,
    judge_language,
    write_languages,
)
from s2v.training.evaluation.motion_level import gap_weights
from s2v.training.evaluation.probes import at_least

SPEC = LipSyncSpec.of("s2v")
SECONDS = 2.0
# When, which phone, how far open, how wide off the median; lips are 0.06 apart while nothing is said.
SAID = [
    (0.4, 0.6, "B", 0.0, 0.0),
    (0.6, 0.8, "V", 0.04, 0.0),
    (0.8, 1.0, "y", 0.06, -0.05),
    (1.0, 1.4, "a", 0.12, 0.01),
]


def recording(folder: Path, name: str = "one", said: list[tuple[float, float, str, float, float]] = SAID) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * round(16_000 * SECONDS)))
    (folder / f"{name}.lab").write_text("".join(f"{start}\t{end}\t{phone}\n" for start, end, phone, *_ in said))


def speak(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mouth that does what SAID says, whatever it hears."""
    n = round(len(pcm) / 16_000 * SPEC.fps)
    middles_s = (np.arange(n) + 0.5) / SPEC.fps
    opening, width = np.full(n, 0.06), np.zeros(n)
    for start, end, _, wanted, wide in SAID:
        within = (middles_s >= start) & (middles_s < end)
        opening[within], width[within] = wanted, wide
    left, right = MotionBasis.load(SPEC.motion_basis).displacement(np.array(MOUTH_CORNERS))[: SPEC.n_motion, :, 0].T
    both = np.stack([gap_weights(SPEC), right - left])
    return (np.stack([opening, width], axis=1) @ np.linalg.pinv(both).T).astype(np.float32)


def test_figures_are_those_of_the_motion_in_each_kind_of_phone(tmp_path: Path) -> None:
    recording(tmp_path / "french")
    found = judge_language(tmp_path / "french", speak, SPEC)
    assert found.language == "french" and found.seconds == pytest.approx(1.0)
    assert found.shut == 1
    assert found.teeth_opening == pytest.approx(0.04, abs=1e-4)
    assert found.rounded_width == pytest.approx(-0.05, abs=1e-4)
    assert found.open_opening == pytest.approx(0.12, abs=1e-4)
    assert found.closed == pytest.approx(0.2)  # 5 of the 25 frames in which something is said
    assert 0.1 < found.lip_speed < 2


def test_lips_a_hair_too_far_apart_are_not_closed(tmp_path: Path) -> None:
    recording(tmp_path / "x")

    def ajar(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
        gap = gap_weights(SPEC)
        return np.asarray(speak(pcm) + 0.021 * gap / (gap**2).sum(), np.float32)

    found = judge_language(tmp_path / "x", ajar, SPEC)
    assert found.shut == 0 and found.closed == 0


def test_a_phone_shorter_than_a_frame_counts_where_it_is(tmp_path: Path) -> None:
    recording(tmp_path / "x", said=[(0.445, 0.455, "P", 0.0, 0.0), (1.1, 1.105, "P", 0.0, 0.0)])
    assert judge_language(tmp_path / "x", speak, SPEC).shut == 0.5


def test_all_recordings_count_until_there_is_enough(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        recording(tmp_path / "x", name)
    assert judge_language(tmp_path / "x", speak, SPEC).seconds == pytest.approx(3.0)
    assert judge_language(tmp_path / "x", speak, SPEC, max_seconds=1.5).seconds == pytest.approx(2.0)


def test_what_is_never_said_has_no_figure(tmp_path: Path) -> None:
    recording(tmp_path / "x", said=[(0.4, 0.8, "S", 0.0, 0.0)])
    found = judge_language(tmp_path / "x", speak, SPEC)
    assert isnan(found.shut) and isnan(found.open_opening) and not isnan(found.closed)
    probe = at_least("every language", found.shut, 0.6)
    assert as_dict(Languages([found], probe))["languages"] == {
        "x": {
            "seconds": pytest.approx(0.4), "shut": None, "teeth_opening": None, "rounded_width": None,
            "open_opening": None, "lip_speed": found.lip_speed, "closed": found.closed,
        }
    }  # fmt: skip


def test_every_folder_is_a_language_and_the_worst_decides(tmp_path: Path) -> None:
    recording(tmp_path / "italian")
    recording(tmp_path / "hindi", said=[(0.4, 0.6, "B", 0.0, 0.0), (1.0, 1.4, "M", 0.0, 0.0)])
    (tmp_path / "notes").mkdir()
    found = evaluate_languages(tmp_path, FakeBackend(SPEC))
    assert [row.language for row in found.rows] == ["hindi", "italian"]
    worst = min(found.rows, key=lambda row: row.shut)
    assert (found.probe.where, found.probe.found) == (worst.language, worst.shut)
    assert found.probe.passed == (worst.shut >= 0.6)


def test_the_table_has_a_line_for_each_language_and_the_probe(tmp_path: Path) -> None:
    row = LanguageFigures("hindi", 12.3, 0.81, 0.043, -0.012, 0.107, 0.42, 0.19)
    found = Languages([row, replace(row, language="welsh", shut=0.5)], at_least("closed", 0.5, 0.6, "welsh"))
    lines = as_text(found).splitlines()
    assert lines[1].split() == ["hindi", "12", "0.81", "4.3", "-1.2", "10.7", "0.42", "0.19"]
    assert lines[-1].startswith("FAIL  closed: 0.5 (welsh)")
    write_languages(found, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "languages.json").read_text()) == as_dict(found)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="-o"):
        write_languages(found, tmp_path / "file")


def test_a_folder_without_labels_a_label_without_sound_and_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make-voices --languages"):
        evaluate_languages(tmp_path / "nowhere", FakeBackend(SPEC))
    with pytest.raises(DataError, match="make-voices --languages"):
        evaluate_languages(tmp_path, FakeBackend(SPEC))
    recording(tmp_path / "x")
    (tmp_path / "x" / "one.wav").unlink()
    with pytest.raises(DataError, match=r"one\.lab has no recording"):
        evaluate_languages(tmp_path, FakeBackend(SPEC))
    with pytest.raises(DataError, match="network speech2vid has no motion"):
        evaluate_languages(tmp_path, FakeBackend(LipSyncSpec.of("speech2vid")))
