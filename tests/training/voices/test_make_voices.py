"""Making voices: which, how much, the same again, and picking up where it stopped."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from fake_synthesizer import Humming

pytest.importorskip("av")

from s2v.errors import DataError
from s2v.media.video_file import read_sound
from s2v.training.voices.make_voices import (
    LANGUAGES,
    PEAK,
    SENTENCES,
    SynthesisReport,
    make_voices,
    read_sentences,
    read_table,
)
from s2v.training.voices.phones import Phone, read_labels

TABLE = """
[licences]
free = "free for all"
[voices]
anna = { engine = "hum", voice = "a", sex = "f", licence = "free" }
bert = { engine = "hum", voice = "b", sex = "m", pitch = 0.5, share = 0.5, licence = "free" }
carl = { engine = "mute", voice = "c", sex = "m", licence = "free" }
[languages]
french = { engine = "hum", voice = "f", sex = "f", language = "fr", licence = "free" }
english = { engine = "hum", voice = "e", sex = "m", licence = "free" }
"""
TEXT = "# not said\n\n" + "\n".join(f"{number} is one of many numbers" for number in range(60)) + "\n"


class Workspace:
    """A folder with a table of voices, texts, and two engines, of which one is not installed."""

    def __init__(self, folder: Path) -> None:
        self.out, self.said, self.folder = folder / "voices", folder / "said.txt", folder
        (folder / "table.toml").write_text(TABLE)
        (folder / "texts.txt").write_text(TEXT)
        self.engines = {"hum": Humming(self.said), "mute": Humming(self.said, "apt install larynx")}

    def make(self, minutes: float = 0.4, seed: int = 0, table: str = "voices") -> SynthesisReport:
        self.said.write_text("")
        texts, voices = [self.folder / "texts.txt"], self.folder / "table.toml"
        return make_voices(self.out, texts, minutes, seed, 1, voices, self.engines, table=table)

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.out)): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}

    def sentences(self, voice: str) -> list[str]:
        lines = (self.out / voice / "transcripts.txt").read_text().splitlines()
        return [line.partition("|")[2] for line in lines]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_voice_is_recordings_with_transcripts_phones_and_a_licence(workspace: Workspace) -> None:
    report = workspace.make()
    assert report.voices == ["anna", "bert"] and report.missing == {"carl": "apt install larynx"}
    lines = (workspace.out / "anna" / "transcripts.txt").read_text().splitlines()
    assert len(lines) == 10  # 0.4 minutes are 60 words
    assert report.recordings == report.made_now == 15 and report.failed == 0
    name, _, text = lines[0].partition("|")
    sound = read_sound(workspace.out / "anna" / f"{name}.wav")
    assert abs(np.abs(sound).max() - PEAK * 32767) < 300
    phones = read_labels(workspace.out / "anna" / f"{name}.lab")
    assert [phone.name for phone in phones] == ["M", "AA"]
    assert phones[-1].end_s == pytest.approx(len(sound) / 16_000, abs=1e-3)
    assert text in workspace.said.read_text()
    licences = (workspace.out / "LICENCES.txt").read_text()
    assert "anna" in licences and "free for all" in licences and "carl" not in licences


def test_voices_say_different_sentences_at_different_paces(workspace: Workspace) -> None:
    workspace.make()
    assert not set(workspace.sentences("anna")) & set(workspace.sentences("bert"))
    paces = set()
    for path in (workspace.out / "anna").glob("*.wav"):
        with wave.open(str(path)) as file:
            paces.add(file.getnframes())
    assert len(paces) > 5


def test_a_seed_gives_the_same_files_and_another_seed_others(workspace: Workspace) -> None:
    workspace.make()
    first = workspace.files()
    for path in workspace.out.rglob("*.wav"):
        path.unlink()
    workspace.make()
    assert workspace.files() == first
    workspace.make(seed=1)
    assert workspace.files().keys() != first.keys()


def test_what_is_there_is_kept_and_what_belongs_to_another_run_goes(workspace: Workspace) -> None:
    workspace.make()
    kept = workspace.files()
    lost = next((workspace.out / "anna").glob("*.wav"))
    lost.unlink()
    (workspace.out / "bert" / "of-an-earlier-run.wav").write_bytes(b"")
    report = workspace.make()
    assert report.made_now == 1 and len(workspace.said.read_text().splitlines()) == 1
    assert workspace.files() == kept


def test_a_sentence_that_cannot_be_said_is_left_out(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    (workspace.folder / "texts.txt").write_text("an unspeakable thing\none two three\nfour five six\n")
    report = workspace.make(minutes=10)
    assert report.failed == 2 and report.recordings == 4
    assert sorted(workspace.sentences("anna")) == ["four five six", "one two three"]
    assert "no tongue" in caplog.text


def test_an_engine_that_tells_no_phones_leaves_no_labels(workspace: Workspace) -> None:
    workspace.engines["hum"] = Humming(workspace.said, tells_phones=False)
    workspace.make()
    assert list(workspace.out.rglob("*.wav")) and not list(workspace.out.rglob("*.lab"))


def test_a_voice_of_another_language_says_what_is_written_in_it(workspace: Workspace) -> None:
    report = workspace.make(minutes=0.2, table="languages")
    assert report.voices == ["french", "english"]
    assert set(workspace.sentences("french")) <= set(read_sentences(LANGUAGES / "fr.txt"))
    assert all("numbers" in sentence for sentence in workspace.sentences("english"))


def test_no_engine_or_no_speech_at_all_is_refused(workspace: Workspace) -> None:
    workspace.engines["hum"] = Humming(workspace.said, "pip install humming")
    with pytest.raises(DataError, match=r"no speech synthesizer.*apt install larynx.*pip install humming"):
        workspace.make()
    workspace.engines["hum"] = Humming(workspace.said)
    (workspace.folder / "texts.txt").write_text("unspeakable\n")
    with pytest.raises(DataError, match="anna said nothing"):
        workspace.make()
    assert not list(workspace.out.rglob("transcripts.txt"))


@pytest.mark.parametrize("content", ["", "# only this\n\n", "\xff"])
def test_a_file_without_sentences_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match="a sentence a line"):
        read_sentences(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[voices]", "[voices", "table of voices"),
        ('licence = "free"', 'licence = "unknown"', "table of voices"),
        ('engine = "mute"', 'engine = "lyre"', "'lyre'.*hum, mute"),
    ],
)
def test_a_wrong_table_is_named(workspace: Workspace, old: str, new: str, said: str) -> None:
    path = workspace.folder / "table.toml"
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(DataError, match=said):
        read_table(path, workspace.engines)


def test_seven_languages_have_sentences_and_voices_that_are_not_trained_on() -> None:
    trained, judged = read_table(), read_table(table="languages")
    assert len({voice.language for voice in judged}) == len(judged) == 7
    assert {voice.language for voice in trained} == {voice.language for voice in judged}
    assert not {voice.speaker.voice for voice in trained} & {voice.speaker.voice for voice in judged}
    for voice in judged:
        sentences = read_sentences(LANGUAGES / f"{voice.language}.txt")
        assert len(set(sentences)) == len(sentences) >= 24
        assert max(len(sentence) for sentence in sentences) < 70  # a few seconds
    assert not set(read_sentences(LANGUAGES / "en.txt")) & set(read_sentences(SENTENCES))


def test_our_own_voices_have_licences_and_our_sentences_are_plain_text() -> None:
    table = read_table()
    assert len({voice.name for voice in table}) == len(table) >= 20
    assert {voice.sex for voice in table} == {"f", "m"} and all(voice.licence for voice in table)
    sentences = read_sentences(SENTENCES)
    assert len(sentences) == len(set(sentences)) >= 250
    assert not any(sign.isdigit() or sign == "|" for sentence in sentences for sign in sentence)


def test_labels_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.lab").write_text("0.0\t0.25\tSIL\n0.25\t0.5\tB\n")
    assert read_labels(tmp_path / "a.lab") == [Phone("SIL", 0.0, 0.25), Phone("B", 0.25, 0.5)]
    (tmp_path / "a.lab").write_text("0.0\t0.25\tzzz\n")
    with pytest.raises(DataError, match="'zzz' is no phone"):
        read_labels(tmp_path / "a.lab")
    (tmp_path / "a.lab").write_text("0.0 0.25 B\n")
    with pytest.raises(DataError, match="no label track"):
        read_labels(tmp_path / "a.lab")
