"""A short real call: server process, WebRTC, model and all. Structure and that clicks were found; never how fast."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from s2v.benchmarks.live.server_process import ServerUnderTest, serving
from s2v.bundled import BUNDLED_FACE
from s2v.cli import main
from s2v.errors import FaceError, StreamError
from s2v.streaming.session.stage_times import STAGES

# the benchmark puts this process on loopback; the next test finds it as it was
pytestmark = pytest.mark.usefixtures("loopback_ice")


def test_a_short_call_finds_clicks_in_voice_and_picture(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seconds", "6", "--size", "192", "--loss", "0.01", "--jitter-ms", "5", "--json"]
    assert main(["bench", "e2e", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["width_px"] == found["height_px"] == 192
    assert 4 <= found["clicks"] <= 6
    assert found["voice_ms"]["n"] >= 2 and found["picture_ms"]["n"] >= 2
    # Physics, not speed: a packet of 20 ms cannot be heard before it is spoken, nor a window seen before it is full.
    assert found["voice_ms"]["p50"] > 20 and found["picture_ms"]["p50"] > 0.7 * found["look_ahead_ms"]
    assert set(found["server"]["stages_ms"]) == set(STAGES)
    assert found["frames_received"] > 50
    assert not multiprocessing.active_children(), "the server process has ended"


def test_a_photo_without_a_face_is_said_by_the_server_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2
    import numpy as np

    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((300, 300, 3), 128, np.uint8))
    with pytest.raises(FaceError), serving(ServerUnderTest(wall, 256)):
        pass
    assert main(["bench", "e2e", "--face", str(wall), "--seconds", "2"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines()[-1].startswith("s2v: ")


def test_a_server_that_does_not_speak_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from s2v.benchmarks.live import server_process as served

    monkeypatch.setattr(served, "START_WITHIN_S", 0.0)
    with pytest.raises(StreamError, match="did not start"), serving(ServerUnderTest(BUNDLED_FACE, 192)):
        pass
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    "wrong", [["--seconds", "1"], ["--loss", "0.9"], ["--jitter-ms", "x"], ["--size", "64"], ["--seconds", "nan"]]
)
def test_an_option_out_of_range_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "e2e", *wrong])
    assert exit_.value.code == 2
    assert f"argument {wrong[0]}" in capsys.readouterr().err
