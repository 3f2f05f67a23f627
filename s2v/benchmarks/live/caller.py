"""The benchmark's caller: a real WebRTC peer that says a click track and notes when what comes back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from numpy.typing import NDArray

from s2v.benchmarks.live.click_track import click_track
from s2v.benchmarks.live.network_emulation import EmulatedNetwork
from s2v.benchmarks.live.receiver import ReceivedCall, receive_live
from s2v.bundled import BUNDLED_VOICE
from s2v.errors import StreamError
from s2v.media.audio_file import PLAYBACK_HZ, read_audio
from s2v.streaming.session.tracks import voice_frame

PACKET = PLAYBACK_HZ // 50  # 20 ms, what Opus sends
CONNECT_WITHIN_S = 20.0
ENDS = ("failed", "ended", "closed")  # states in which a server hangs up
LAST_CLICK_S = 1.5  # stay on the line so long after the last word


class BusyError(StreamError):
    """The server is full; `retry_after` is what it said about coming back, if anything."""

    def __init__(self, text: str, retry_after: str | None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class ClickMicrophone(MediaStreamTrack):
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
            silence = np.zeros(PACKET, np.int16)
        await asyncio.sleep(self.began_s + end / PLAYBACK_HZ - time.monotonic())
        said = silence if self.ended.is_set() else self._pcm[self._at : end]
        frame = voice_frame(said, self._at)
        self._at = end
        if self._progress is not None and self._at % PLAYBACK_HZ == 0:
            self._progress(min(self._at, len(self._pcm)) / PLAYBACK_HZ)
        return frame

    def said(self, onsets: list[int]) -> list[float]:
        """The moments, in seconds of `time.monotonic`, at which samples of the recording were or will be spoken."""
        assert self.began_s is not None
        return [self.began_s + onset / PLAYBACK_HZ for onset in onsets]


async def call(
    url: str, seconds: float, loss: float, jitter_s: float, seed: int, progress: Callable[[float], object] | None = None
) -> ReceivedCall:
    """Ring a server, say `seconds` of speech with clicks, hang up.

    Raises: StreamError, the server refuses, does not answer, or ends the call.
    """
    track, onsets = click_track(read_audio(BUNDLED_VOICE).pcm_48k, seconds, PLAYBACK_HZ, seed)
    microphone, heard = ClickMicrophone(track, progress), ReceivedCall()

    def on_status(message: dict[str, Any]) -> None:
        heard.server = message

    async with connected(
        url, microphone, lambda receiver: receive_live(receiver, heard), on_status, loss, jitter_s, seed
    ) as over:
        ended = asyncio.create_task(microphone.ended.wait())
        try:
            await asyncio.wait([ended, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if over.done():
            over.result()
        await asyncio.sleep(LAST_CLICK_S)
    heard.began_s, heard.said = microphone.began_s or 0.0, microphone.said(onsets)
    return heard


@asynccontextmanager
async def connected(
    url: str,
    microphone: ClickMicrophone,
    hear: Callable[[RTCRtpReceiver], Coroutine[Any, Any, None]],
    on_status: Callable[[dict[str, Any]], None],
    loss: float = 0.0,
    jitter_s: float = 0.0,
    seed: int = 0,
) -> AsyncIterator[asyncio.Task[None]]:
    """Ring a server; the block runs once it is connected, and leaving it hangs up.

    Args:
        hear: called for either track, before its first packet; the coroutine it returns ends with the track.
        on_status: called with each message of the server about the running call.
    Yields: a task that ends, with a StreamError, when the server ends the call.
    Raises: BusyError, the server is full. StreamError, it refuses or does not answer.
    """
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    hearing: list[asyncio.Task[None]] = []
    network: EmulatedNetwork | None = None
    over: asyncio.Task[None] | None = None
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_message(text: str) -> None:
        message = json.loads(text)
        if message.get("state") == "live":
            on_status(message)
        elif message.get("state") in ENDS and not failed.done():  # "busy" only says why pictures are slow
            failed.set_exception(StreamError(f"the server ended the call: {message.get('error', 'no reason given')}"))

    def on_track(received: MediaStreamTrack) -> None:
        receiver = next(receiver for receiver in pc.getReceivers() if receiver.track is received)
        hearing.append(asyncio.create_task(hear(receiver)))

    try:
        pc.createDataChannel("state").on("message", on_message)
        pc.on("track", on_track)
        pc.addTrack(microphone)
        pc.addTransceiver("video", direction="recvonly")
        await pc.setLocalDescription(await pc.createOffer())
        answer = await _offer(url, pc.localDescription.sdp)
        if loss or jitter_s:
            network = EmulatedNetwork(pc, loss, jitter_s, seed)
        await pc.setRemoteDescription(answer)
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                while microphone.began_s is None:  # aiortc's sender asks once the connection is up
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise StreamError(f"no connection to {url} within {CONNECT_WITHIN_S:g} s: free the machine") from None
        over = asyncio.create_task(_over(failed, hearing))
        yield over
    except aiohttp.ClientError as error:
        raise StreamError(f"the server at {url} does not answer ({type(error).__name__}): start it again") from None
    finally:
        await pc.close()
        if network is not None:
            await network.close()
        tasks = [*hearing, *([over] if over is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        failed.cancel()


async def _over(failed: asyncio.Future[None], hearing: list[asyncio.Task[None]]) -> None:
    """Raises: StreamError, as soon as the server says that it is over or a track ends."""
    await asyncio.wait([failed, *hearing], return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        failed.result()
    for task in hearing:
        if task.done():
            task.result()
    raise StreamError("the server hung up before the last click: see its message above")


async def _offer(url: str, sdp: str) -> RTCSessionDescription:
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/offer", json={"sdp": sdp, "type": "offer", "input": "mic"}) as reply,
    ):
        answer = await reply.json()
        if reply.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise BusyError(str(answer["error"]), reply.headers.get("Retry-After"))
    if "error" in answer:
        raise StreamError(f"the server refuses the call: {answer['error']}")
    return RTCSessionDescription(answer["sdp"], answer["type"])
