"""What lies between one person's lips, as his model file tells it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from s2v.bundled import BUNDLED_MODEL, BUNDLED_VOICE
from s2v.engine.avatar_factory import load_avatar, mouth_of_model
from s2v.engine.compositor.mouth.colours import interior_colours
from s2v.engine.compositor.mouth.interior_tables import interior_tables
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.mouth_look import LIMITS, MouthLook
from s2v.errors import ModelError
from s2v.media.audio_file import read_audio
from s2v.spec import LipSyncSpec

LOOK = MouthLook(teeth_l=12.0, cavity_l=6.0, shade=-0.4, show_mm=1.0, lower_mm=0.5)


@pytest.fixture(scope="module")
def personal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model with somebody's mouth in its metadata."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(BUNDLED_MODEL))
    model.metadata_props.add(key="s2v_mouth", value=LOOK.to_json())
    path: Path = tmp_path_factory.mktemp("model") / "me.onnx"
    onnx.save(model, str(path))
    return path


def test_a_look_survives_its_json_and_has_limits_for_every_field() -> None:
    assert MouthLook.from_json(LOOK.to_json()) == LOOK
    assert set(LIMITS) == {field.name for field in fields(MouthLook)}
    assert all(low < 0 < high for low, high in LIMITS.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "another version's"),
        ('{"teeth_l": 1.0}', "another version's"),
        (json.dumps(json.loads(LOOK.to_json()) | {"teeth_l": 1000.0}), "has teeth_l=1000.0, wanted -35 to 20"),
        (json.dumps(json.loads(LOOK.to_json()) | {"shade": "dark"}), "has shade='dark'"),
        (json.dumps(json.loads(LOOK.to_json()) | {"shade": float("nan")}), "has shade=nan"),
    ],
)
def test_a_damaged_look_is_refused(text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        MouthLook.from_json(text)


def test_a_look_changes_the_guessed_colours_by_what_it_says(closed_face: EnrolledFace) -> None:
    guessed, own = interior_colours(closed_face), interior_colours(replace(closed_face, mouth=LOOK))
    assert (own.teeth > guessed.teeth + 10).all() and (own.cavity > guessed.cavity + 5).all()
    np.testing.assert_allclose(own.flesh, guessed.flesh)
    np.testing.assert_allclose(own.shade_exponents, 0.6 * guessed.shade_exponents, rtol=1e-5)
    none = interior_colours(replace(closed_face, mouth=MouthLook()))
    np.testing.assert_array_equal(none.teeth, guessed.teeth)
    np.testing.assert_array_equal(none.shade_exponents, guessed.shade_exponents)


def test_more_teeth_are_seen_where_the_look_shows_more(closed_face: EnrolledFace) -> None:
    spec, height = LipSyncSpec.of("s2v"), closed_face.photo.shape[0]
    box = (0, 0, closed_face.photo.shape[1], height)
    usual, more = (
        interior_tables(face, spec, box, reach_px=0) for face in (closed_face, replace(closed_face, mouth=LOOK))
    )
    lowest = [int(np.flatnonzero((tables.upper[..., 0] > 0.3).any(1)).max()) for tables in (usual, more)]
    assert lowest[1] > lowest[0]


def test_only_the_model_that_tells_of_a_mouth_draws_it(closed_face: EnrolledFace, personal: Path) -> None:
    assert mouth_of_model(BUNDLED_MODEL) is None
    assert mouth_of_model(personal) == LOOK
    voice = read_audio(BUNDLED_VOICE).pcm_16k[8000:20_000]
    drawn = []
    for model in (None, personal, BUNDLED_MODEL):
        with load_avatar(closed_face.photo, model=model, seed=None, backend="onnxruntime").engine() as engine:
            frames = [frame.pixels.astype(int) for frame in engine.push(voice)]
        drawn.append(np.stack(frames))
    shipped, own, named = drawn
    assert np.array_equal(shipped, named)
    changed = np.abs(own - shipped).max(axis=(0, 3))
    assert changed.max() > 5
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert np.ptp(rows) < 0.3 * changed.shape[0] and np.ptp(columns) < 0.4 * changed.shape[1]
