"""`s2v make-voices`: sentences become recordings of many synthetic voices, for `s2v label-voices`."""

from __future__ import annotations

import hashlib
import logging
import tomllib
import wave
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from s2v.errors import DataError
from s2v.files import write_whole, written_whole
from s2v.training.voices.phones import write_labels
from s2v.training.voices.speech import RATE_HZ, Speaker, SynthesizedSpeech, Synthesizer
from s2v.training.voices.synthesizers import ENGINES
from s2v.training.workers import worker_pool

HERE = Path(__file__).parent
SENTENCES = HERE / "sentences.txt"
LANGUAGES = HERE / "languages"  # texts of other languages, and the English ones of `--languages`
VOICES = HERE / "voices.toml"
WORDS_A_MINUTE = 150  # read aloud with the pauses between sentences: what `minutes` is counted with
PACES = (0.82, 1.22)  # from the pace of a lecture to that of a hurried caller
VERSION = 1  # of what is written for a sentence: with another one, everything is made anew
PEAK = 0.7  # of full scale
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class Voice:
    """One row of voices.toml."""

    name: str
    engine: str
    speaker: Speaker
    share: float  # of the minutes asked for
    sex: str
    licence: str
    language: str = "en"


@dataclass(frozen=True)
class SynthesisReport:
    """What `make_voices` did."""

    voices: list[str]
    recordings: int
    made_now: int  # the others were there already
    failed: int  # sentences that an engine did not say
    minutes: float
    missing: dict[str, str]  # voice -> what to install


@dataclass(frozen=True)
class _Job:
    path: Path  # of the recording; its phones go beside it
    engine: Synthesizer
    speaker: Speaker
    text: str
    seed: int


def make_voices(
    out: Path,
    texts: Sequence[Path] = (SENTENCES,),
    minutes: float = 10.0,
    seed: int = 0,
    workers: int = 2,
    voices: Path = VOICES,
    engines: Mapping[str, Synthesizer] = ENGINES,
    progress: bool = False,
    table: str = "voices",
) -> SynthesisReport:
    """Write out/<voice>/: WAV files (16 kHz mono), their phones as .lab files where the engine tells them, and
    transcripts.txt; and out/LICENCES.txt.

    The same arguments give the same files; those that are there already are kept, so it can be interrupted.

    Args:
        texts: English, files with a sentence a line, or name|text as in transcripts.txt; lines with # are skipped.
            Voices of other languages say our own.
        minutes: for a voice whose share is 1, counted in words.
        table: of the file `voices`: "voices" to train on, "languages" to evaluate with.
    Raises: DataError, no text, no engine installed, or a voice that says nothing.
    """
    # Each once: the same text twice would be the same recording.
    spoken = {"en": list(dict.fromkeys(sentence for path in texts for sentence in read_sentences(path)))}
    rows = read_table(voices, engines, table)
    missing = {voice.name: need for voice in rows if (need := engines[voice.engine].missing(voice.speaker.voice))}
    for need in sorted(set(missing.values())):
        _log.warning("without %s: %s", ", ".join(n for n in missing if missing[n] == need), need)
    if len(missing) == len(rows):
        raise DataError(f"no speech synthesizer is installed: {', '.join(sorted(set(missing.values())))}")
    plan: dict[Voice, list[_Job]] = {}
    for number, voice in enumerate(rows):
        if voice.name not in missing:
            if voice.language not in spoken:
                spoken[voice.language] = read_sentences(LANGUAGES / f"{voice.language}.txt")
            sentences = spoken[voice.language]
            # Voices begin at different places of one shuffled list, so that they say different things.
            order = np.random.default_rng(seed).permutation(len(sentences))
            chosen = np.roll(order, -number * len(sentences) // len(rows))
            plan[voice] = _jobs(out / voice.name, voice, engines[voice.engine], sentences, chosen, minutes, seed)
    waiting = [job for jobs in plan.values() for job in jobs if not job.path.exists()]
    with worker_pool(workers) as pool, tqdm(total=len(waiting), unit="sentence", disable=not progress) as bar:
        for job, problem in zip(waiting, pool.map(_record, waiting, chunksize=4), strict=True):
            bar.update()
            if problem:
                _log.warning("left out: %r (%s)", job.text, problem)
    seconds = 0.0
    for voice, planned in plan.items():
        jobs = plan[voice] = [job for job in planned if job.path.exists()]
        if not jobs:
            raise DataError(f"the voice {voice.name} said nothing of {len(planned)} sentences: see the log")
        _finish(out / voice.name, jobs)
        seconds += sum(_seconds(job.path) for job in jobs)
    licences = "".join(f"{voice.name}: {voice.engine}, {voice.speaker.voice}. {voice.licence}\n" for voice in plan)
    write_whole(out / "LICENCES.txt", "Speech in this folder was synthesised by `s2v make-voices`.\n\n" + licences)
    count = sum(len(jobs) for jobs in plan.values())
    made = sum(job.path.exists() for job in waiting)
    names = [voice.name for voice in plan]
    return SynthesisReport(names, count, made, len(waiting) - made, round(seconds / 60, 1), missing)


def read_sentences(path: Path) -> list[str]:
    """The text of each line, without its name. Raises: DataError, no such file or nothing in it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error}): give a file with a sentence a line") from None
    sentences = [line.rpartition("|")[2].strip() for line in lines if not line.startswith("#")]
    if not any(sentences):
        raise DataError(f"{path} holds no sentence: give a file with a sentence a line")
    return [sentence for sentence in sentences if sentence]


def read_table(path: Path = VOICES, engines: Mapping[str, Synthesizer] = ENGINES, table: str = "voices") -> list[Voice]:
    """The voices of a TOML file (voices.toml says what its columns are). Raises: DataError, not such a file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = [
            Voice(
                name,
                row["engine"],
                Speaker(row["voice"], pitch=row.get("pitch", 1.0), size=row.get("size", 1.0)),
                row.get("share", 1.0),
                row["sex"],
                content["licences"][row["licence"]],
                row.get("language", "en"),
            )
            for name, row in content[table].items()
        ]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is not a table of voices ({error!r})") from None
    for voice in rows:
        if voice.engine not in engines:
            raise DataError(f"{path}: {voice.name} wants {voice.engine!r}, known are {', '.join(engines)}")
    return rows


def _jobs(
    folder: Path,
    voice: Voice,
    engine: Synthesizer,
    sentences: list[str],
    order: NDArray[np.int64],
    minutes: float,
    seed: int,
) -> list[_Job]:
    """As many sentences as fill the minutes, each at a pace of its own; all of them if there are too few."""
    jobs: list[_Job] = []
    words_left = minutes * voice.share * WORDS_A_MINUTE
    for index in order:
        if words_left <= 0:
            break
        text = sentences[index]
        own_seed = zlib.crc32(f"{seed} {voice.name} {text}".encode())
        pace = round(float(np.random.default_rng(own_seed).uniform(*PACES)), 3)
        speaker = Speaker(voice.speaker.voice, pace, voice.speaker.pitch, voice.speaker.size)
        # The name tells what is in the file: with anything changed it is another file, and made anew.
        digest = hashlib.sha256(repr((VERSION, voice.engine, speaker, text, own_seed)).encode()).hexdigest()[:12]
        jobs.append(_Job(folder / f"{digest}.wav", engine, speaker, text, own_seed))
        words_left -= len(text.split())
    return jobs


def _record(job: _Job) -> str:
    """Why there is no recording, or ''."""
    try:
        spoken = job.engine.speak(job.speaker, job.text, job.seed)
    except DataError as error:
        return str(error)
    job.path.parent.mkdir(parents=True, exist_ok=True)
    if spoken.phones:
        write_labels(job.path.with_suffix(".lab"), spoken.phones)
    with written_whole(job.path) as beside:  # last: where it is, the phones are
        _write_wav(beside, spoken)
    return ""


def _write_wav(path: Path, spoken: SynthesizedSpeech) -> None:
    loudest = max(1, int(np.abs(spoken.pcm.astype(np.int32)).max()))
    level = np.asarray(np.round(spoken.pcm * (PEAK * 32767 / loudest)), "<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(level.tobytes())


def _finish(folder: Path, jobs: list[_Job]) -> None:
    """The transcripts of a voice, once all of it is there; what an earlier, different run left is removed."""
    wanted = {job.path.stem for job in jobs}
    for path in folder.iterdir():
        if path.suffix in (".wav", ".lab") and path.stem not in wanted:
            path.unlink()
    write_whole(folder / "transcripts.txt", "".join(f"{job.path.stem}|{job.text}\n" for job in jobs))


def _seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        frames: int = file.getnframes()
    return frames / RATE_HZ
