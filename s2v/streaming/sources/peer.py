"""The microphone of a WebRTC peer as a source: resampled, counted, its pauses kept as long as they were."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import NamedTuple, Protocol

import av
from aiortc import MediaStreamError, MediaStreamTrack

from s2v.streaming.sources.resampler import VoiceResampler
from s2v.streaming.sources.sender_clock import SenderClock
from s2v.streaming.sources.source import AudioChunk

BURST_S = 0.006  # what was held up on the way comes all at once; who was silent sends his packets one by one


class Arrival(NamedTuple):
    """Of a packet."""

    came_s: float
    lost: int  # packets that were sent before it, after the last one that came


class PacketArrivals(Protocol):
    """Who knows when packets came: the jitter buffer that they went through."""

    def arrival(self, pts: int) -> Arrival | None:
        """Of the packet that was decoded to a frame with this pts; asked once."""


class _Received(NamedTuple):
    frame: av.AudioFrame
    arrival: Arrival | None


class PeerSource:
    """The microphone of a WebRTC peer.

    A peer may be silent without a word: it sends a packet now and then (DTX), none for as long as it is muted or on
    hold, and its stamps then go on as if nothing had been, or leap. How long it was silent is what `SenderClock` says.
    """

    def __init__(self, track: MediaStreamTrack, packets: PacketArrivals | None = None) -> None:
        """`packets` is the buffer they come through: it knows when each came."""
        self.sender = SenderClock()
        self._resampler = VoiceResampler()
        self._track = track
        self._packets = packets
        self._next: _Received | None = None  # has been looked at

    async def read(self) -> AudioChunk | None:
        try:
            received = self._next or await self._receive()
        except MediaStreamError:
            return None  # the peer has gone or stopped its track
        self._next = None
        frame, arrival = received
        came_s = arrival.came_s if arrival is not None else None
        silence = 0
        if frame.pts is not None:
            held_up = (
                came_s is not None and self.sender.is_behind(frame.pts, frame, came_s) and await self._is_burst(came_s)
            )
            silence = self.sender.silence_before(frame.pts, frame, came_s, held_up)
        chunk = self._resampler.push(frame, silence, sent=arrival is None or not arrival.lost)
        return replace(chunk, came_s=came_s)

    def close(self) -> None:
        self._track.stop()
        self._resampler.close()

    async def wait_closed(self) -> None:
        """The connection joins what decodes the track."""

    async def _receive(self) -> _Received:
        frame = await self._track.recv()
        assert isinstance(frame, av.AudioFrame)
        pts = frame.pts
        return _Received(frame, self._packets.arrival(pts) if self._packets is not None and pts is not None else None)

    async def _is_burst(self, came_s: float) -> bool:
        """Whether another packet came with the one of this moment."""
        try:
            async with asyncio.timeout(BURST_S):
                self._next = await self._receive()
        except (TimeoutError, MediaStreamError):
            return False
        return self._next.arrival is None or self._next.arrival.came_s - came_s < BURST_S
