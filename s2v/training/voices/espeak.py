"""eSpeak NG through its library: unlike the program, it tells when each phoneme is spoken."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.loading import from_the_system

LIBRARY = "libespeak-ng.so.1"
# From espeak-ng/speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _AS_IPA, _DO_NOT_EXIT, _UTF8 = 2, 1, 2, 0x8000, 1
_RATE, _PITCH, _END_OF_LIST, _PHONEME = 1, 3, 0, 7


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def available() -> bool:
    """Whether the library can be loaded."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def speak(
    text: str, voice: str, words_a_minute: int, pitch: int
) -> tuple[NDArray[np.int16], int, list[tuple[float, str]]]:
    """Speech, its rate in Hz, and each phoneme in IPA with the time in s at which it begins ('' is a pause).

    In a new process each time: the library carries phases and noise from one sentence to the next, so that the
    same text would sound otherwise depending on what was said before.

    Args:
        voice: name of a voice and, after +, of a variant.
        words_a_minute: 80 to 450.
        pitch: 0 to 99, 50 is the voice's own.
    Raises: DataError, no library or no such voice.
    """
    command = [sys.executable, "-m", __name__, text, voice, str(words_a_minute), str(pitch)]
    try:
        output = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        message = (getattr(error, "stderr", None) or str(error).encode()).decode(errors="replace").strip()
        raise DataError(f"eSpeak NG did not speak: {message.splitlines()[-1]}") from None
    head, _, sound = output.partition(b"\n")
    rate_hz, starts = json.loads(head)
    return np.frombuffer(sound, np.int16), rate_hz, [(start_s, ipa) for start_s, ipa in starts]


def _speak_here(text: str, voice: str, words_a_minute: int, pitch: int) -> tuple[bytes, int, list[tuple[float, str]]]:
    library, rate_hz = _library()
    wanted = _Voice(languages=voice.encode())  # some voices answer to their language only
    if library.espeak_SetVoiceByName(voice.encode()) and library.espeak_SetVoiceByProperties(ctypes.byref(wanted)):
        raise DataError(f"it has no voice {voice!r}, `espeak-ng --voices=en` lists them")
    library.espeak_SetParameter(_RATE, words_a_minute, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    sound = bytearray()
    starts: list[tuple[float, str]] = []

    def collect(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            sound.extend(ctypes.string_at(samples, 2 * count))
        at = 0
        while events[at].type != _END_OF_LIST:
            if events[at].type == _PHONEME:
                starts.append((events[at].sample / rate_hz, events[at].id.string.decode(errors="replace")))
            at += 1
        return 0

    callback = _CALLBACK(collect)  # kept alive until the call is over
    library.espeak_SetSynthCallback(callback)
    content = text.encode() + b"\0"
    if library.espeak_Synth(content, len(content), 0, 1, 0, _UTF8, None, None) != 0:
        raise DataError("it did not take the text")
    return bytes(sound), rate_hz, starts


def _library() -> tuple[Any, int]:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DataError(f"{LIBRARY} cannot be loaded ({error}): {from_the_system([LIBRARY])}") from None
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _AS_IPA | _DO_NOT_EXIT)
    if rate_hz <= 0:
        raise DataError(f"eSpeak NG finds no voice data: {from_the_system([LIBRARY])}")
    return library, int(rate_hz)


if __name__ == "__main__":
    try:
        pcm, hz, phonemes = _speak_here(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    except DataError as failure:
        sys.exit(str(failure))
    sys.stdout.buffer.write(json.dumps([hz, phonemes]).encode() + b"\n" + pcm)
