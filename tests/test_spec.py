from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2v.errors import ModelError
from s2v.spec import TRACT_AT_REST, TRACT_VARIABLES, LipSyncSpec

FPS = st.sampled_from([24, 25, 30, 50])
FRAMES = st.integers(0, 10_000_000)  # four days


def test_the_default_spec_has_the_papers_numbers() -> None:
    spec = LipSyncSpec()
    assert spec.window_samples == 5840
    assert spec.samples_per_frame == 640.0
    assert (spec.n_mfcc, spec.n_columns, spec.n_cepstra) == (13, 35, 13)
    assert replace(spec, network="speech2vid").n_cepstra == 12


def test_only_the_network_of_our_own_levels_its_input() -> None:
    assert LipSyncSpec.of("s2v").automatic_gain and not LipSyncSpec.of("speech2vid").automatic_gain
    assert not LipSyncSpec.of("s2v", automatic_gain=False).automatic_gain


def test_every_tract_variable_has_a_place_at_rest() -> None:
    assert len(TRACT_AT_REST) == len(TRACT_VARIABLES) == len(set(TRACT_VARIABLES))
    assert all(0 <= value <= 1 for value in TRACT_AT_REST)


@given(FRAMES, FPS)
def test_a_frame_centre_never_drifts(frame: int, fps: int) -> None:
    exact = (frame + 0.5) * 16_000 / fps
    assert exact - 1.0 < LipSyncSpec(fps=fps).frame_centre(frame) <= exact


@given(FRAMES, FPS, st.sampled_from([0.0, 0.04, 0.08, 0.19]))
def test_the_newest_column_is_the_last_that_ends_within_the_look_ahead(
    frame: int, fps: int, look_ahead_s: float
) -> None:
    spec = LipSyncSpec(fps=fps, look_ahead_s=look_ahead_s)
    reach = spec.frame_centre(frame) + round(look_ahead_s * 16_000)
    assert spec.ready_at(frame) <= reach < spec.ready_at(frame) + spec.mfcc_step_samples
    assert spec.last_column(frame + 1) > spec.last_column(frame)


@given(FRAMES)
def test_the_papers_look_ahead_centres_the_window_on_its_frame(frame: int) -> None:
    spec = LipSyncSpec(look_ahead_s=0.19)
    middle = spec.ready_at(frame) - spec.window_samples // 2
    assert abs(middle - spec.frame_centre(frame)) < spec.mfcc_step_samples


@given(st.integers(0, 10**9), FPS)
def test_frames_cover_the_audio_and_no_frame_is_empty(n_samples: int, fps: int) -> None:
    frames = LipSyncSpec(fps=fps).frame_count(n_samples)
    assert frames * 16_000 >= n_samples * fps
    assert (frames - 1) * 16_000 < n_samples * fps or frames == n_samples == 0


def test_a_spec_survives_the_model_file() -> None:
    spec = LipSyncSpec(
        network="speech2vid", look_ahead_s=0.04, automatic_gain=True, mfcc_mean=tuple(map(float, range(13)))
    )
    assert LipSyncSpec.from_json(spec.to_json()) == spec
    hash(LipSyncSpec.from_json(spec.to_json()))  # its tuples came back as tuples


def test_a_spec_of_another_version_is_refused_by_name() -> None:
    values = json.loads(LipSyncSpec().to_json())
    with pytest.raises(ModelError, match="differ in: n_tongues; export it again"):
        LipSyncSpec.from_json(json.dumps(values | {"n_tongues": 1}))
    del values["fps"]
    with pytest.raises(ModelError, match="differ in: fps"):
        LipSyncSpec.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "not json"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="not JSON"):
        LipSyncSpec.from_json(text)
