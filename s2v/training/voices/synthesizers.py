"""The speech synthesizers, each as the protocol of `speech.py`."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import tempfile
import wave
from functools import lru_cache
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.extras import how_to_install
from s2v.training.voices import espeak
from s2v.training.voices.ipa import arpabet
from s2v.training.voices.kokoro import Kokoro
from s2v.training.voices.speech import Speaker, SynthesizedSpeech, Synthesizer, sized, stretch

# From the closing of a voiceless stop to its burst, which is where eSpeak begins it. Measured against pocketsphinx,
# which agrees with the exact times of Flite within 10 ms.
ESPEAK_CLOSURE_S = 0.045
# What is not in CMUdict's set: reduced vowels, the flap, syllabic consonants, pauses.
_FESTIVAL_PHONES: dict[str, list[str]] = {
    "ax": ["AH"], "ix": ["IH"], "ux": ["UW"], "axr": ["ER"], "dx": ["D"], "nx": ["N"], "hv": ["HH"],
    "el": ["AH", "L"], "em": ["AH", "M"], "en": ["AH", "N"], "pau": [], "h#": [], "brth": [], "ssil": [],
}  # fmt: skip


class Flite:
    """CMU Flite: diphone voices (kal, kal16) and statistical ones (awb, rms, slt)."""

    def missing(self, voice: str) -> str:
        return "" if shutil.which("flite") else "apt install flite"

    def speak(self, speaker: Speaker, text: str, seed: int) -> SynthesizedSpeech:
        options = ["--setf", f"duration_stretch={stretch(speaker):.4f}"]
        if speaker.pitch != 1:  # Flite cannot scale a pitch, only set its mean: these are the voices' own
            mean_hz = {"kal": 105, "kal16": 105, "slt": 170}.get(speaker.voice, 110) * speaker.pitch
            options += ["--setf", f"int_f0_target_mean={mean_hz:.1f}"]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "speech.wav"
            output = _run(["flite", "-voice", speaker.voice, *options, "-psdur", "-t", text, "-o", str(out)])
            pcm, rate_hz = _read_wav(out.read_bytes())
        ends = [entry.rpartition(":") for entry in output.split()]
        return sized(pcm, rate_hz, speaker, [(_cmu(name), float(end_s)) for name, _, end_s in ends])


class Festival:
    """Festival with the diphone and HTS voices packaged by Debian."""

    def missing(self, voice: str) -> str:
        package = {"kal_diphone": "kallpc16k", "ked_diphone": "kdlpc16k"}.get(voice, "us-slt-hts")
        installed = shutil.which("festival") and any(Path("/usr/share/festival/voices").glob(f"*/{voice}"))
        return "" if installed else f"apt install festival festvox-{package}"

    def speak(self, speaker: Speaker, text: str, seed: int) -> SynthesizedSpeech:
        quoted = text.replace("\\", " ").replace('"', " ")
        with tempfile.TemporaryDirectory() as folder:
            script, out, labels = (Path(folder) / name for name in ("say.scm", "speech.wav", "speech.lab"))
            script.write_text(
                f"(voice_{speaker.voice})\n"
                f"(Parameter.set 'Duration_Stretch {stretch(speaker):.4f})\n"
                # The HTS engine has its own two options for what the diphone voices take from these parameters.
                f"(if (boundp 'hts_engine_params) (set! hts_engine_params (append hts_engine_params"
                f' (list (list "-r" {1 / stretch(speaker):.4f}) (list "-fm" {12 * log2(speaker.pitch):.4f})))))\n'
                f"(if (boundp 'int_lr_params) (set-cdr! (assoc 'target_f0_mean int_lr_params)"
                f" (list (* {speaker.pitch:.4f} (cadr (assoc 'target_f0_mean int_lr_params))))))\n"
                f'(set! said (utt.synth (Utterance Text "{quoted}")))\n'
                f'(utt.save.wave said "{out}" \'riff)\n'
                f'(utt.save.segs said "{labels}")\n'
            )
            _run(["festival", "-b", str(script)])
            pcm, rate_hz = _read_wav(out.read_bytes())
            rows = [line.split() for line in labels.read_text(encoding="utf-8").splitlines()]
        return sized(pcm, rate_hz, speaker, [(_cmu(row[2]), float(row[0])) for row in rows if len(row) == 3])


class Espeak:
    """eSpeak NG: formant synthesis, one voice for each accent and variant ("en-gb+f4")."""

    def missing(self, voice: str) -> str:
        return "" if espeak.available() else "apt install espeak-ng"

    def speak(self, speaker: Speaker, text: str, seed: int) -> SynthesizedSpeech:
        words_a_minute, pitch = round(165 / stretch(speaker)), round(50 * speaker.pitch)
        pcm, rate_hz, starts = espeak.speak(text, speaker.voice, words_a_minute, pitch)
        ends_s = [start_s for start_s, _ in starts[1:]] + [len(pcm) / rate_hz]
        spoken = [(arpabet(ipa), end_s) for (_, ipa), end_s in zip(starts, ends_s, strict=True)]
        first_s = starts[0][0] if starts else 0.0
        return sized(pcm, rate_hz, speaker, _with_closures([([], first_s), *spoken]))


class Hibari:
    """hibari: a neural voice whose model is inside its wheel.

    Its durations are in steps of 25 ms and less exact than what pocketsphinx finds, so no phones are given.
    """

    def missing(self, voice: str) -> str:
        return "" if importlib.util.find_spec("hibari") else how_to_install("hibari")

    def speak(self, speaker: Speaker, text: str, seed: int) -> SynthesizedSpeech:
        from hibari import dsp

        model, noise = _hibari(speaker.voice), np.random.default_rng(seed)
        parts: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
        for phonemes in model.phonemize(text):
            fed = {"ids": np.array([model.ids(phonemes)]), "speed": np.array([1 / stretch(speaker)], np.float32)}
            *spectra, f0_hz = (part[0] for part in model.sess.run(None, fed))
            # The pulses that the spectra shape are made here, so another pitch costs the voice nothing.
            parts.append(dsp.synth(*spectra, f0_hz * speaker.pitch, noise))
        pcm = np.asarray((np.concatenate(parts) * 32767).clip(-32768, 32767), np.int16)
        return sized(pcm, dsp.SR, speaker, [])


ENGINES: dict[str, Synthesizer] = {
    "flite": Flite(), "festival": Festival(), "espeak-ng": Espeak(), "hibari": Hibari(), "kokoro": Kokoro(),
}  # fmt: skip


def _with_closures(spoken: list[tuple[list[str], float]]) -> list[tuple[list[str], float]]:
    """eSpeak tells when a voiceless stop opens: give it the silence before, in which the mouth is closed."""
    moved = list(spoken)
    for number in range(1, len(spoken)):
        if spoken[number][0] and spoken[number][0][0] in ("P", "T", "K", "CH"):
            names, end_s = moved[number - 1]
            before_s = moved[number - 2][1] if number > 1 else 0.0
            moved[number - 1] = (names, end_s - min(ESPEAK_CLOSURE_S, (end_s - before_s) / 2))
    return moved


def _cmu(name: str) -> list[str]:
    """A phone of Flite or Festival: theirs are CMUdict's in lower case, but for a few."""
    return _FESTIVAL_PHONES.get(name, [name.upper()])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise DataError(f"{command[0]} did not speak ({error})") from None
    return done.stdout


def _read_wav(content: bytes) -> tuple[NDArray[np.int16], int]:
    """Samples and rate of a 16-bit mono file. Raises: DataError, another kind."""
    with wave.open(io.BytesIO(content)) as file:
        if (file.getsampwidth(), file.getnchannels()) != (2, 1):
            raise DataError(f"the engine wrote {file.getnchannels()} channels, {file.getsampwidth()} bytes; not 1, 2")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16), file.getframerate()


@lru_cache(maxsize=2)
def _hibari(voice: str) -> Any:
    """Loaded once in each process: it takes longer than a sentence."""
    from hibari import Hibari as Model

    return Model(voice=voice)
