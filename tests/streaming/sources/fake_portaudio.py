"""A sound system that fills `portaudio.AudioSystem`: its devices can be unplugged and plugged in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.streaming.sources.portaudio import INPUT_OVERFLOW, INT16, Callback


@dataclass
class FakeDevice:
    name: str
    rates_hz: tuple[int, ...] = (44_100, 48_000)
    channels: tuple[int, ...] = (1, 2)
    outputs_only: bool = False


class FakeStream:
    def __init__(self, rate: int, channels: int, index: int, callback: Callback, lets_go: Callable[[], object]) -> None:
        self.rate, self.channels, self.index = rate, channels, index
        self.open = True
        self.closing = threading.Event()
        self._callback = callback
        self._lets_go = lets_go

    def say(self, pcm: NDArray[np.int16], overflow: bool = False) -> None:
        """Deliver (n,) or (n, channels) samples, as PortAudio's thread would."""
        status = INPUT_OVERFLOW if overflow else 0
        assert self._callback(pcm.tobytes(), len(pcm), {}, status) == (None, 0)

    def is_active(self) -> bool:
        return self.open

    def close(self) -> None:
        self.closing.set()
        self._lets_go()
        self.open = False


@dataclass
class Machine:
    """What the systems made of it have in common: the devices that are plugged in, and everything ever opened."""

    devices: list[FakeDevice] = field(default_factory=list)
    default: int | None = 0
    streams: list[FakeStream] = field(default_factory=list)
    systems: int = 0  # made and not terminated
    refuse_open: bool = False
    lets_go: threading.Event = field(default_factory=threading.Event)  # cleared, the driver hangs when it should close
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait  # as its thread waits for it to close

    def __post_init__(self) -> None:
        self.lets_go.set()

    def until_it_lets_go(self) -> None:
        self.wait(self.lets_go, 1e6)

    def make_system(self) -> FakeSystem:
        self.systems += 1
        return FakeSystem(self)


class FakeSystem:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._devices = list(machine.devices)  # a running PortAudio does not see what comes later

    def get_device_count(self) -> int:
        return len(self._devices)

    def get_device_info_by_index(self, device_index: int) -> Mapping[str, Any]:
        device = self._devices[device_index]
        inputs = 0 if device.outputs_only else max(device.channels)
        rate = float(device.rates_hz[0])
        return {"index": device_index, "name": device.name, "maxInputChannels": inputs, "defaultSampleRate": rate}

    def get_default_input_device_info(self) -> Mapping[str, Any]:
        if self._machine.default is None or self._machine.default >= len(self._devices):
            raise OSError("No Default Input Device Available")
        return self.get_device_info_by_index(self._machine.default)

    def is_format_supported(self, rate: float, *, input_device: int, input_channels: int, input_format: int) -> bool:
        device = self._devices[input_device]
        if input_format != INT16 or rate not in device.rates_hz or input_channels not in device.channels:
            raise ValueError("Invalid sample rate", -9997)
        return True

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
    ) -> FakeStream:
        assert input and format == INT16 and frames_per_buffer == rate // 100
        if self._machine.refuse_open:
            raise OSError(-9985, "Device unavailable")
        self.is_format_supported(rate, input_device=input_device_index, input_channels=channels, input_format=format)
        self._machine.streams.append(
            FakeStream(rate, channels, input_device_index, stream_callback, self._machine.until_it_lets_go)
        )
        return self._machine.streams[-1]

    def terminate(self) -> None:
        self._machine.systems -= 1


Make = Callable[[], FakeSystem]
