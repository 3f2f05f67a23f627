"""The benchmark's caller: a real WebRTC peer that says a click track and notes when what comes back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from s2v.benchmarks.clicks import ClickFinder, click_track, read_code
from s2v.benchmarks.wire import BadWire
from s2v.errors import StreamError
from s2v.streaming.audio_file import ENGINE_HZ, LISTEN_HZ, read_audio
from s2v.streaming.prompt import InOrderPackets, MarkedFrames, take_promptly

VOICE = Path(__file__).parents[1] / "assets" / "voice.flac"
PACKET = LISTEN_HZ // 50  # 20 ms, what Opus sends
CONNECT_WITHIN_S = 20.0
LAST_CLICK_S = 1.5  # stay on the line so long after the last word


@dataclass
class Heard:
    """What one call gave, in seconds of `time.monotonic`; the lists grow while it runs."""

    began_s: float = 0.0  # the microphone's first sample
    said: list[float] = field(default_factory=list)  # when each click was at the microphone
    voice: list[tuple[float, float]] = field(default_factory=list)  # (when its first sample could be played, 0)
    picture: list[tuple[float, float]] = field(default_factory=list)  # (decoded, how far after the click it lies)
    frames: int = 0
    server: dict[str, Any] = field(default_factory=dict)  # its latest message


class Microphone(MediaStreamTrack):
    """Says a recording: a packet is there when its last sample has been spoken, as with a real one."""

    kind = "audio"

    def __init__(self, pcm_48k: NDArray[np.float32], progress: Callable[[float], object] | None) -> None:
        super().__init__()
        self.began_s: float | None = None
        self.ended = asyncio.Event()
        self._pcm = np.rint(pcm_48k * 32767).astype(np.int16)
        self._at = 0
        self._progress = progress

    async def recv(self) -> av.AudioFrame:
        self.began_s = self.began_s or time.monotonic()
        end = self._at + PACKET
        if end > len(self._pcm):
            self.ended.set()
            silence = np.zeros((1, PACKET), np.int16)
        await asyncio.sleep(self.began_s + end / LISTEN_HZ - time.monotonic())
        said = silence if self.ended.is_set() else self._pcm[None, self._at : end]
        frame = av.AudioFrame.from_ndarray(said, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = LISTEN_HZ, self._at, Fraction(1, LISTEN_HZ)
        self._at = end
        if self._progress is not None and self._at % LISTEN_HZ == 0:
            self._progress(min(self._at, len(self._pcm)) / LISTEN_HZ)
        return frame


async def call(
    url: str, seconds: float, loss: float, jitter_s: float, seed: int, progress: Callable[[float], object] | None = None
) -> Heard:
    """Ring a server, say `seconds` of speech with clicks, hang up.

    Raises: StreamError, the server refuses, does not answer, or ends the call.
    """
    track, onsets = click_track(read_audio(VOICE).pcm_48k, seconds, LISTEN_HZ, seed)
    microphone, heard = Microphone(track, progress), Heard()
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    listening: list[asyncio.Task[None]] = []
    wire: BadWire | None = None
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_message(text: str) -> None:
        message = json.loads(text)
        if message.get("state") == "live":
            heard.server = message
        elif not failed.done():
            failed.set_exception(StreamError(f"the server ended the call: {message.get('error', 'no reason given')}"))

    def on_track(received: MediaStreamTrack) -> None:
        listen = _listen if received.kind == "audio" else _watch
        receiver = next(receiver for receiver in pc.getReceivers() if receiver.track is received)
        take_promptly(receiver, InOrderPackets() if received.kind == "audio" else MarkedFrames())
        listening.append(asyncio.create_task(listen(received, heard)))

    try:
        pc.createDataChannel("state").on("message", on_message)
        pc.on("track", on_track)
        pc.addTrack(microphone)
        pc.addTransceiver("video", direction="recvonly")
        await pc.setLocalDescription(await pc.createOffer())
        answer = await _offer(url, pc.localDescription.sdp)
        if loss or jitter_s:
            wire = BadWire(pc, loss, jitter_s, seed)
        await pc.setRemoteDescription(answer)
        async with asyncio.timeout(CONNECT_WITHIN_S):
            while microphone.began_s is None:  # aiortc's sender asks once the connection is up
                await asyncio.sleep(0.02)
        ended = asyncio.create_task(microphone.ended.wait())
        events: list[asyncio.Future[Any]] = [ended, failed, *listening]
        await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            ended.cancel()
            failed.result()
        if not ended.done():
            ended.cancel()
            raise StreamError("the server hung up before the last click: see its message above")
        await asyncio.sleep(LAST_CLICK_S)
        heard.began_s = microphone.began_s
        heard.said = [heard.began_s + onset / LISTEN_HZ for onset in onsets]
        return heard
    except TimeoutError:
        raise StreamError(f"no connection to {url} within {CONNECT_WITHIN_S:g} s: is a firewall on loopback?") from None
    except aiohttp.ClientError as error:
        raise StreamError(f"the server at {url} does not answer ({type(error).__name__}): start it again") from None
    finally:
        await pc.close()
        if wire is not None:
            await wire.close()
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        failed.cancel()


async def _offer(url: str, sdp: str) -> RTCSessionDescription:
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/offer", json={"sdp": sdp, "type": "offer", "input": "mic"}) as reply,
    ):
        answer = await reply.json()
    if "error" in answer:
        raise StreamError(f"the server refuses the call: {answer['error']}")
    return RTCSessionDescription(answer["sdp"], answer["type"])


async def _listen(track: MediaStreamTrack, heard: Heard) -> None:
    """Note when a player that plays at once would play each click."""
    finder, counted = ClickFinder(LISTEN_HZ), 0
    packets: list[tuple[int, float]] = []  # (sample after it, moment it could begin) of the newest packets
    while (frame := await _next(track)) is not None:
        assert isinstance(frame, av.AudioFrame)
        now_s = time.monotonic()
        pcm = frame.to_ndarray().reshape(-1, len(frame.layout.channels)).mean(axis=1).astype(np.float32) / 32768
        counted += len(pcm)
        packets = [*packets[-20:], (counted, now_s - (counted - len(pcm)) / LISTEN_HZ)]
        for click in finder.push(pcm):
            _, zero_s = next(packet for packet in packets if packet[0] > click)
            heard.voice.append((zero_s + click / LISTEN_HZ, 0.0))


async def _watch(track: MediaStreamTrack, heard: Heard) -> None:
    """Note when each picture that carries a click's code was decoded."""
    while (frame := await _next(track)) is not None:
        assert isinstance(frame, av.VideoFrame)
        now_s = time.monotonic()
        heard.frames += 1
        offset = read_code(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
        if offset is not None:
            heard.picture.append((now_s, offset / ENGINE_HZ))


async def _next(track: MediaStreamTrack) -> Any:
    try:
        return await track.recv()
    except MediaStreamError:
        return None
