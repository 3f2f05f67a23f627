from __future__ import annotations

import argparse
import logging
import multiprocessing
import re
from pathlib import Path

import numpy as np
import pytest

from s2v.cli import main
from s2v.commands.options.face import add_face_options
from s2v.commands.options.sessions import add_session_options, open_served_faces
from s2v.errors import FaceError, StreamError

DATA = Path(__file__).parents[2] / "data"


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_face_options(parser, max_side_px=256)
    add_session_options(parser)
    return parser.parse_args([*argv, "--face", str(DATA / "open_smile.jpg")])


@pytest.mark.parametrize("number", ["0", "-1", "many", "1001", "2.5"])
def test_a_number_of_callers_that_is_none_is_wrong_usage(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["live", "--max-sessions", number])
    assert end.value.code == 2
    assert "is not a number of callers: give 1 to 1000, or auto" in capsys.readouterr().err


def test_a_gallery_that_is_not_there_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--faces", str(tmp_path / "nowhere")]) == 2
    assert re.fullmatch(r"s2v: --faces .*nowhere: No such file.*\n", capsys.readouterr().err)


def test_the_stage_measures_what_the_machine_carries_and_is_closed_after_any_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("torch", reason="the small test model is exported with torch")
    from tiny_networks import tiny_model

    model = ["--model", str(tiny_model("s2v").path), "--backend", "onnxruntime"]
    with caplog.at_level(logging.INFO, "s2v"), open_served_faces(parsed(*model), shared=False) as served:
        assert served.max_sessions >= 1
        assert served.faces.uploads is not None and served.faces.gallery == ()
        assert served.faces.factory is served.runtime
        width_px, height_px = served.avatar.frame_size
        assert served.avatar.still_bgr.shape == (height_px, width_px, 3)
        with served.avatar.engine("i420") as engine:
            (frame,) = engine.push(np.zeros(served.runtime.spec.ready_at(0), np.float32))
        assert frame.pixels.shape == (height_px * 3 // 2, width_px)
    said = [record.getMessage() for record in caplog.records if "carries" in record.getMessage()]
    assert len(said) == 1 and f"carries {served.max_sessions} session" in said[0]
    own = ["--max-sessions", "7", "--no-uploads", "--faces", str(DATA)]
    with pytest.raises(StreamError), open_served_faces(parsed(*model, *own), shared=True) as served:
        assert served.max_sessions == 7 and served.faces.uploads is None
        assert {path.name for path in served.faces.gallery} == {"open_smile.jpg", "closed_lips.jpg", "on_its_side.heic"}
        raise StreamError("the port is taken")
    with pytest.raises(FaceError), open_served_faces(parsed(*model, "--face-index", "3"), shared=True):
        pass
    assert not multiprocessing.active_children()
