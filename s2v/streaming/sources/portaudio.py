"""The microphones of this machine as PortAudio shows them: what there is, and which one is meant.

PyAudio is loaded only when something asks for a microphone: a server that gets its voices from browsers needs none.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from s2v.errors import StreamError
from s2v.extras import how_to_install
from s2v.loading import unloadable
from s2v.media.audio_file import PLAYBACK_HZ

INT16 = 8  # PortAudio's paInt16
CONTINUE = 0  # paContinue
INPUT_OVERFLOW = 2  # paInputOverflow, a flag of the callback's status
LOOK = "`s2v live --list-mics` shows what there is"

Callback = Callable[[bytes | None, int, Mapping[str, float], int], tuple[None, int]]


class AudioStream(Protocol):
    """A stream of `pyaudio.PyAudio`, as far as it is used here."""

    def is_active(self) -> bool: ...

    def close(self) -> None: ...


class AudioSystem(Protocol):
    """`pyaudio.PyAudio`, as far as it is used here. It sees the devices that are there when it is made."""

    def get_device_count(self) -> int: ...

    def get_device_info_by_index(self, device_index: int) -> Mapping[str, Any]: ...

    def get_default_input_device_info(self) -> Mapping[str, Any]: ...

    def is_format_supported(
        self, rate: float, *, input_device: int, input_channels: int, input_format: int
    ) -> bool: ...

    def open(
        self,
        rate: int,
        channels: int,
        format: int,
        *,
        input: bool,
        input_device_index: int,
        frames_per_buffer: int,
        stream_callback: Callback,
    ) -> AudioStream: ...

    def terminate(self) -> None: ...


@dataclass(frozen=True)
class Microphone:
    """One input device. Its index may change when something is plugged in; its name does not."""

    index: int
    name: str
    channels: int
    rate_hz: int  # its own preference
    default: bool


class Capability(NamedTuple):
    rate_hz: int
    channels: int


def open_audio_system() -> AudioSystem:
    """PortAudio with the devices of this moment.

    Raises: StreamError, PyAudio is not installed or PortAudio does not start.
    """
    try:
        with contextlib.redirect_stdout(None):  # it prints that it could not be imported
            import pyaudio
    except ImportError as error:
        if (unloaded := unloadable(error)) is not None:
            raise StreamError(f"PyAudio cannot read microphones, {': '.join(unloaded)}") from None
        why = "is not installed" if error.name == "pyaudio" else f"cannot be loaded ({error})"
        raise StreamError(f"PyAudio, which reads microphones, {why}: {how_to_install('pyaudio')}") from None
    _silence_probing()
    try:
        system: AudioSystem = pyaudio.PyAudio()
    except OSError as error:
        raise StreamError(f"PortAudio does not start ({error}): check this machine's sound service") from None
    return system


def list_microphones(make_system: Callable[[], AudioSystem] = open_audio_system) -> list[Microphone]:
    """All input devices, in PortAudio's order.

    Raises: StreamError, PyAudio is missing.
    """
    system = make_system()
    try:
        return microphones_of(system)
    finally:
        system.terminate()


def microphones_of(system: AudioSystem) -> list[Microphone]:
    """The input devices of an open PortAudio."""
    try:
        default = int(system.get_default_input_device_info()["index"])
    except OSError:  # its way to say that there is none
        default = -1
    every = (system.get_device_info_by_index(index) for index in range(system.get_device_count()))
    return [
        Microphone(
            int(info["index"]),
            str(info["name"]),
            int(info["maxInputChannels"]),
            int(info["defaultSampleRate"]),
            int(info["index"]) == default,
        )
        for info in every
        if int(info["maxInputChannels"]) > 0
    ]


def choose_microphone(microphones: Sequence[Microphone], wanted: str = "") -> Microphone:
    """The one meant by an index, a name or any part of it (case does not matter); "" is the system's default.

    Raises: StreamError, there is none, or several fit.
    """
    if not microphones:
        raise StreamError(f"this machine has no microphone: plug one in ({LOOK}), or use the browser's")
    if not wanted:
        return next((microphone for microphone in microphones if microphone.default), microphones[0])
    if wanted.isdecimal():
        fitting = [microphone for microphone in microphones if microphone.index == int(wanted)]
    else:
        fitting = [microphone for microphone in microphones if microphone.name.casefold() == wanted.casefold()][:1]
        fitting = fitting or [m for m in microphones if wanted.casefold() in m.name.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(f"{microphone.index} {microphone.name}" for microphone in fitting or microphones)
    found = f"{len(fitting)} microphones are" if fitting else "no microphone is"
    raise StreamError(f"{found} called {wanted!r}: choose one of {names} ({LOOK})")


def best_capability(system: AudioSystem, microphone: Microphone) -> Capability:
    """48 kHz if the device can, else its own rate; one channel if it can, else two, or all it has.

    Raises: StreamError, it gives 16-bit sound in none of these ways.
    """
    for rate_hz in (PLAYBACK_HZ, microphone.rate_hz):
        for channels in (1, 2):
            try:
                if system.is_format_supported(
                    rate_hz, input_device=microphone.index, input_channels=channels, input_format=INT16
                ):
                    return Capability(rate_hz, channels)
            except ValueError:  # its way to say no
                continue
    raise StreamError(
        f"microphone {microphone.name!r} gives no 16-bit sound in mono or stereo: "
        f"choose another ({LOOK}), or close the program that uses it"
    )


@functools.cache
def _silence_probing() -> object:
    """PortAudio asks ALSA and JACK for every device they might have; both print each refusal on stderr.

    Returns: the two handlers, which the libraries keep calling: they must live as long as the process.
    """
    alsa_handler = ctypes.CFUNCTYPE(
        None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
    )(lambda *_: None)
    jack_handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda _: None)
    for library, function, handler in (
        ("libasound.so.2", "snd_lib_error_set_handler", alsa_handler),
        ("libjack.so.0", "jack_set_error_function", jack_handler),
        ("libjack.so.0", "jack_set_info_function", jack_handler),
    ):
        try:
            getattr(ctypes.CDLL(library), function)(handler)
        except (OSError, AttributeError):  # another system, or PortAudio without it: then nothing is printed
            continue
    return alsa_handler, jack_handler
