from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.engine.audio.mfcc import counts, mfcc_and_mean
from s2v.errors import DataError
from s2v.spec import TRACT_AT_REST, TRACT_VARIABLES, LipSyncSpec
from s2v.training.train import batches
from s2v.training.train.batches import (
    ROW_FRAMES,
    Clip,
    StoredClips,
    Voices,
    at_speed,
    by_voice,
    check_shards,
    load_split,
    measured,
    motion_batch,
    windows_of,
    with_effort,
)
from s2v.training.train.picture_batches import PICTURE_ARRAYS, Pictures

SPEC = LipSyncSpec()


@pytest.fixture(scope="module")
def loaded(shards: Path) -> tuple[StoredClips, Pictures]:
    return load_split(shards, "train")


def test_shards_are_read_back(loaded: tuple[StoredClips, Pictures]) -> None:
    clips, pictures = loaded
    assert [clip.talker for clip in clips] == ["s1"]
    (clip,) = clips
    assert clip.motion.shape == (75, SPEC.n_motion)
    assert clip.aperture.shape == (75,)
    assert clip.pcm.dtype == np.float32
    assert 0.03 < np.abs(clip.pcm).max() <= 1
    assert pictures.arrays.keys() == set(PICTURE_ARRAYS)
    assert {len(array) for array in pictures.arrays.values()} == {len(pictures)}
    assert [name for name, _ in pictures.where] == [clip.name] * 4
    assert clip.tract.shape == (75, len(TRACT_VARIABLES))
    assert np.isnan(clip.tract).all()  # nobody sees a tongue on film


def test_pictures_can_be_left_on_the_disk(shards: Path) -> None:
    clips, pictures = load_split(shards, "train", pictures=False)
    assert (len(clips), len(pictures)) == (1, 0)


def test_a_split_that_is_not_there_is_empty(shards: Path) -> None:
    clips, pictures = load_split(shards, "voice")
    assert (list(clips), len(pictures)) == ([], 0)
    assert (clips.n_frames, clips.n_targets, clips.by_talker(), list(clips.with_tract())) == (0, 0, {}, [])


def test_the_spec_takes_its_mfcc_scale_from_what_is_heard(loaded: tuple[StoredClips, Pictures]) -> None:
    spec = measured(SPEC, loaded[0])
    columns = mfcc_and_mean(loaded[0][0].pcm, SPEC)[0]
    heard = columns[counts(columns)]
    np.testing.assert_allclose(spec.mfcc_mean, heard.mean(0), atol=1e-3)
    np.testing.assert_allclose(spec.mfcc_std, heard.std(0), atol=1e-3)
    assert measured(spec, loaded[0]) == spec


def test_silent_clips_have_no_scale() -> None:
    with pytest.raises(DataError, match="silent"):
        measured(SPEC, [replace(numbered(25, 0.0), pcm=np.zeros(16_000, np.float32))])


@pytest.mark.parametrize("meta", [None, "", "[]", "{}", '{"spec": []}', '{"clips": {"train": 1}}'])
def test_a_folder_without_shards_is_refused(tmp_path: Path, meta: str | None) -> None:
    if meta is not None:
        (tmp_path / "meta.json").write_text(meta)
    with pytest.raises(DataError, match=r"holds no meta\.json .*: -i takes the folder"):
        check_shards(tmp_path, SPEC)


def test_shards_made_for_another_spec_are_refused(shards: Path, tmp_path: Path) -> None:
    check_shards(shards, LipSyncSpec.of("s2v"))
    check_shards(shards, LipSyncSpec.of("speech2vid", look_ahead_s=0.19, mel_low_hz=20.0))  # what training chooses
    with pytest.raises(DataError, match=r"face_px is 112, not 96, face_size is 1\.9, not 1\.0: run s2v"):
        check_shards(shards, replace(SPEC, face_px=96, face_size=1.0))
    meta = json.loads((shards / "meta.json").read_text())
    del meta["spec"]["motion_basis"]
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="motion_basis is none, not grid-s1"):
        check_shards(tmp_path, SPEC)


# --- speech --------------------------------------------------------------------------------------------


def test_a_clip_has_a_window_for_every_frame_with_motion(shards: Path, loaded: tuple[StoredClips, Pictures]) -> None:
    spec = measured(SPEC, loaded[0])
    windows = windows_of(loaded[0][0], spec)
    assert windows.shape == (75, 1, spec.n_cepstra, spec.n_columns)
    assert np.abs(windows.mean()) < 1  # normalised with the shards' own scale
    assert 0.3 < windows.std() < 3


def numbered(n_frames: int, number: float, seconds: float | None = None) -> Clip:
    """A clip whose motion, and its tract variables, are one number in every frame."""
    pcm = np.random.default_rng(int(number)).normal(0, 0.1, round((seconds or n_frames / 25) * 16_000))
    motion = np.full((n_frames, SPEC.n_motion), number, np.float32)
    return Clip(f"clip{number}", pcm.astype(np.float32), motion, motion[:, 0], motion[:, : len(TRACT_VARIABLES)])


def one_voice(clips: list[Clip]) -> Voices:
    return Voices([clips], np.ones(1))


@pytest.fixture
def even_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody raises his voice: motion is the clips' own."""
    monkeypatch.setattr(batches, "_EFFORT_SHARE", 0.0)


@pytest.mark.usefixtures("even_voices")
def test_a_batch_speaks_clip_after_clip_in_every_row() -> None:
    clips = [numbered(30, 1.0), numbered(30, 2.0)]
    columns, motion, tract, follows = motion_batch(one_voice(clips), 6, SPEC, np.random.default_rng(0))
    assert columns.shape == (6, 4 * (ROW_FRAMES - 1) + SPEC.n_columns, SPEC.n_cepstra)
    assert motion.shape == (6, ROW_FRAMES, SPEC.n_motion)
    assert tract.shape == (6, ROW_FRAMES, len(TRACT_VARIABLES))
    assert columns.dtype == motion.dtype == tract.dtype == torch.float32
    speaking = (motion != 0).all(2)
    assert torch.equal(tract[speaking], motion[speaking][:, : len(TRACT_VARIABLES)])
    assert torch.isfinite(columns).all()
    assert follows.dtype == torch.bool
    # A frame does not follow the one before where a clip begins: the first of each row, and wherever motion jumps.
    jumps = (motion.diff(dim=1).abs().amax(2) > 1e-6) & (motion[:, 1:, 0] != 0)
    assert not follows[:, 0].any()
    assert not (follows[:, 1:] & jumps).any()
    pieces = (~follows).sum(1)  # of 25 to 36 frames each; a row without speech is one
    assert ((pieces == 1) == (motion == 0).all(2).all(1)).all()
    assert 4 <= pieces[pieces > 1].min() <= pieces.max() <= 7


@pytest.mark.usefixtures("even_voices")
@pytest.mark.parametrize("seconds", [1.0, 1.02, 0.98, 1.5])
def test_clips_of_odd_length_keep_sound_and_motion_together(seconds: float) -> None:
    """A knock in frame 5 of every clip is heard there, wherever in the row the clip lies."""
    n_frames = 25
    pcm = np.zeros(round(seconds * 16_000), np.float32)
    pcm[5 * 640 : 6 * 640] = 0.3 * np.random.default_rng(0).standard_normal(640)
    motion = np.zeros((n_frames, SPEC.n_motion), np.float32)
    motion[5] = 1
    clip = Clip("knock", pcm, motion, motion[:, 0], motion[:, : len(TRACT_VARIABLES)])
    columns, target, tract, _ = motion_batch(one_voice([clip]), 16, SPEC, np.random.default_rng(0))
    # The column in the middle of a frame is 31 after the oldest that it sees (80 ms of look-ahead are 8 columns).
    energy = columns[:, SPEC.n_columns - 9 :: 4, 0][:, :ROW_FRAMES]
    moved = target[:, :, 0] > 0.9
    calm = target[:, :, 0] < 0.1
    assert energy[moved].median() > energy[calm].median() + 1
    assert (tract[moved] > 0.9).all()


def test_a_faster_clip_is_shorter_and_keeps_its_order() -> None:
    clip = replace(numbered(50, 1.0), motion=np.linspace(0, 1, 50, dtype=np.float32)[:, None].repeat(10, 1))
    clip.tract[:, 1], clip.tract[:10, 2] = clip.motion[:, 0], np.nan
    pcm, motion, tract = at_speed(clip, 1.25, SPEC)
    assert (len(pcm), len(motion), len(tract)) == (25_600, 40, 40)
    np.testing.assert_allclose(motion[20, 0], (20.5 * 1.25 - 0.5) / 49, atol=1e-6)
    np.testing.assert_allclose(tract[:, 1], motion[:, 0], atol=1e-6)
    assert np.isnan(tract[:8, 2]).all() and (tract[8:, 2] == 1).all()  # what is unknown stays so, and no more
    assert at_speed(clip, 1.0, SPEC)[0] is clip.pcm


@pytest.mark.usefixtures("even_voices")
def test_a_row_is_one_voice_as_often_as_it_should_be() -> None:
    voices = Voices([[numbered(10, 1.0)] * 50, [numbered(10, 2.0)]], np.array([0.5, 0.5]))
    motion = motion_batch(voices, 120, SPEC, np.random.default_rng(0)).motion
    spoken = [set(row[row != 0].tolist()) for row in motion[:, :, 0]]
    assert all(len(voices) <= 1 for voices in spoken)
    assert 0.37 < np.mean([voices == {2.0} for voices in spoken if voices]) < 0.63


@pytest.mark.usefixtures("even_voices")
def test_of_a_long_clip_every_part_is_heard_some_day() -> None:
    motion = np.arange(1, 1001, dtype=np.float32)[:, None].repeat(10, 1)
    clip = replace(numbered(1000, 1.0), motion=motion, tract=motion[:, :5])
    rows = motion_batch(one_voice([clip]), 40, SPEC, np.random.default_rng(0)).motion[:, :, 0]
    spoken = rows[(rows != 0).all(1)]
    assert spoken[:, 0].min() < 150 and spoken[:, -1].max() > 900  # the last that fits begins at 850
    steps = spoken.diff(dim=1)[:, 1:]
    assert ((steps > 0.84) & (steps < 1.21)).all(), "one stretch of it, at one speed"


def test_a_voice_is_raised_from_a_frame_on() -> None:
    sound = np.full(32_000, 0.1, np.float32)
    louder = with_effort(sound, 20, 6.0, SPEC)
    np.testing.assert_array_equal(louder[: 20 * 640], sound[: 20 * 640])
    np.testing.assert_allclose(louder[25 * 640 :], 0.1 * 10**0.3, rtol=1e-5)
    assert (np.diff(louder[20 * 640 : 25 * 640]) > 0).all()
    assert with_effort(sound, 0, -6.0, SPEC)[-1] < 0.06


@pytest.mark.parametrize(("n_labelled", "expected"), [(0, 1.0), (1, 0.5), (4, 0.3), (30, 0.3)])
def test_talkers_whose_lips_were_seen_keep_their_share(n_labelled: int, expected: float) -> None:
    seen = [replace(numbered(10, 1.0), talker="ann"), *[replace(numbered(30, 1.0), talker="bob")] * 2]
    labelled = [replace(numbered(10, 2.0), name=f"voice{i}/{j}") for i in range(n_labelled) for j in range(2)]
    voices = by_voice(seen, labelled)
    assert [len(clips) for clips in voices.clips] == [1, 2] + [2] * n_labelled
    # A second of film is as likely as another; so is a labelled voice as another.
    np.testing.assert_allclose(voices.chances[:2], [expected / 7, expected * 6 / 7])
    np.testing.assert_allclose(voices.chances[2:], (1 - expected) / max(1, n_labelled))
    assert voices.chances.sum() == pytest.approx(1)


@pytest.mark.usefixtures("even_voices")
def test_where_nobody_speaks_the_mouth_is_at_rest() -> None:
    clips = [numbered(10, 1.0)]
    _, motion, tract, _ = motion_batch(one_voice(clips), 200, SPEC, np.random.default_rng(0))
    silent = (motion == 0).all(2).float().mean()
    assert 0.15 < silent < 0.35
    assert ((motion == 0).all(2) | (motion == 1).all(2)).all()
    assert torch.equal((tract == torch.tensor(TRACT_AT_REST)).all(2), (motion == 0).all(2))


def test_the_same_seed_gives_the_same_batch() -> None:
    clips = [numbered(20, 1.0), numbered(20, 2.0)]
    one, same, other = (motion_batch(one_voice(clips), 2, SPEC, np.random.default_rng(seed))[0] for seed in (4, 4, 5))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_motion_that_nobody_knows_stays_unknown_in_a_row_and_nothing_else_does() -> None:
    clip = replace(numbered(40, 1.0), motion=np.ones((40, SPEC.n_motion), np.float32))
    clip.motion[10:15] = np.nan
    _, motion, tract = at_speed(clip, 0.9, SPEC)
    known = np.isfinite(motion).all(1)
    assert np.isfinite(tract).all() and 5 <= (~known).sum() <= 8  # 5 frames / 0.9, and a neighbour at each end
    assert (motion[known] == 1).all()
    _, target, _, _ = motion_batch(one_voice([clip]), 4, SPEC, np.random.default_rng(0))
    unknown = target.isnan()
    assert torch.equal(unknown.all(2), unknown.any(2)) and 0 < unknown.float().mean() < 0.25
