"""One caller: a WebRTC connection around one session, from the offer to the clean-up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import SessionDescription

from s2v.errors import S2vError, StreamError
from s2v.streaming.ice import IceServer, configuration
from s2v.streaming.prompt import InOrderPackets, take_promptly
from s2v.streaming.session import Stats
from s2v.streaming.sources import AudioSource, PeerSource

log = logging.getLogger(__name__)

Input = Literal["mic", "voice", "shared"]

TEND_EVERY_S = 0.5
RELEASE_WITHIN_S = 5.0
LINGER_S = 0.5  # between telling the page that the end has come and hanging up
MAX_SECTIONS = 4  # audio, video, data; more is not our page


@dataclass(frozen=True)
class Offer:
    """What a page posts: its session description, and what shall drive the face."""

    sdp: str
    input: Input
    face: str | None = None  # id of the face to show; None is the server's own

    @classmethod
    def from_json(cls, text: str) -> Offer:
        """Raises: StreamError, naming what is wrong with it."""
        try:
            body = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise StreamError(f"the offer is not JSON ({str(error)[:80]}): send {{sdp, type, input}}") from None
        if not isinstance(body, dict) or body.get("type") != "offer" or not isinstance(body.get("sdp"), str):
            raise StreamError('the offer lacks "type": "offer" or "sdp": send {sdp, type, input}')
        if body.get("input") not in get_args(Input):
            raise StreamError(f'"input" is {str(body.get("input"))[:20]!r}: send one of {", ".join(get_args(Input))}')
        if not 2 <= (sections := body["sdp"].count("\nm=")) <= MAX_SECTIONS:
            raise StreamError(f"the offer has {sections} media sections: send one audio, one video, one data channel")
        if not isinstance(face := body.get("face"), str | None):
            raise StreamError(f'"face" is {str(face)[:20]}: send the id of a face, or leave it out')
        return cls(body["sdp"], body["input"], face)


class Show(Protocol):
    """What a call carries: a `Session` of its own, or a `Viewer` of the shared avatar."""

    @property
    def voice_track(self) -> MediaStreamTrack: ...

    @property
    def face_track(self) -> MediaStreamTrack: ...

    async def open(self) -> None: ...

    async def run(self) -> None: ...

    async def close(self) -> None: ...

    def stats(self) -> Stats: ...


class Call:
    """Owns connection, session and the one task that tends both. `answer` once; then it ends by itself or by `close`.

    It ends when the connection fails or is closed, when the peer falls silent, when the source ends, or when the
    engine fails; `on_end` is called then, once.
    """

    def __init__(
        self,
        make_session: Callable[[AudioSource], Show],
        on_end: Callable[[Call], None],
        connect_within_s: float,
        silent_after_s: float,
        ice_servers: Sequence[IceServer] = (),
    ) -> None:
        self.session: Show | None = None
        self.state = "new"
        self._make_session = make_session
        self._on_end = on_end
        self._connect_within_s = connect_within_s
        self._silent_after_s = silent_after_s
        self._pc = RTCPeerConnection(configuration(ice_servers))
        self._channel: RTCDataChannel | None = None
        self._microphone: MediaStreamTrack | None = None
        self._packets: InOrderPackets | None = None
        self._connected = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("datachannel", self._on_channel)
        self._pc.on("track", self._on_track)

    async def answer(
        self, offer: Offer, voice: AudioSource | None, watch: Callable[[], Show] | None = None
    ) -> RTCSessionDescription:
        """Take the offer; `voice` drives the face if given, else the caller's microphone; or `watch` what is on.

        Raises: StreamError, the description is unusable. S2vError, the engine cannot be opened. Closed after both.
        """
        try:
            await self._take(offer)
            if watch is not None:
                self.session = watch()
            else:
                self.session = self._make_session(voice if voice is not None else self._microphone_source())
            await self.session.open()  # before the answer: no audio can pile up while a model loads
            self._pc.addTrack(self.session.voice_track)
            self._pc.addTrack(self.session.face_track)
            for transceiver in self._pc.getTransceivers():  # refuse what nobody would read
                hears = transceiver.kind == "audio" and voice is None and watch is None
                transceiver.direction = "sendrecv" if hears else "sendonly"
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except BaseException:
            await self._release()
            raise
        self._life = asyncio.create_task(self._live(self.session))
        return self._pc.localDescription

    async def close(self) -> None:
        """Hang up and join everything; safe to call at any time and twice."""
        self._hung_up.set()
        if self._life is not None:
            await asyncio.wait([self._life])

    async def _take(self, offer: Offer) -> None:
        try:
            parsed = SessionDescription.parse(offer.sdp)
            await self._pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        except Exception as error:  # the SDP parser raises whatever it trips over: all of it is the caller's text
            raise StreamError(f"the offer's SDP cannot be read ({type(error).__name__}: {str(error)[:80]})") from None
        kinds = [transceiver.kind for transceiver in self._pc.getTransceivers()]
        if any(not section.dtls or not section.dtls.fingerprints for section in parsed.media):
            raise StreamError("the offer has a media section without a fingerprint: send what the browser made")
        if sorted(kinds) != ["audio", "video"]:
            raise StreamError(f"the offer has {kinds or 'no media'}: send exactly one audio and one video section")

    def _microphone_source(self) -> AudioSource:
        if self._microphone is None:
            raise StreamError("the offer sends no audio: add the microphone's track, or ask for the voice")
        return PeerSource(self._microphone, self._packets)

    async def _live(self, session: Show) -> None:
        """The call's one task: run the session while the peer is there, then release everything."""
        running: asyncio.Task[None] | None = None
        tending: asyncio.Task[None] | None = None
        hung_up = asyncio.create_task(self._hung_up.wait())
        connected = asyncio.create_task(self._connected.wait())
        try:
            await asyncio.wait(
                [connected, hung_up], timeout=self._connect_within_s, return_when=asyncio.FIRST_COMPLETED
            )
            if self._hung_up.is_set():
                return
            if not self._connected.is_set():
                log.info("a caller did not connect within %g s", self._connect_within_s)
                return
            self.state = "live"
            running = asyncio.create_task(session.run())
            tending = asyncio.create_task(self._tend(session))
            await asyncio.wait([running, tending, hung_up], return_when=asyncio.FIRST_COMPLETED)
            tending.cancel()
            await self._say_goodbye(running, tending)
        except Exception:  # nobody awaits this task's result
            log.exception("a call could not be ended as it should")
        finally:
            hung_up.cancel()
            connected.cancel()
            self.state = "closed"
            try:
                await self._release()
                if tasks := [task for task in (running, tending) if task is not None]:
                    await asyncio.wait(tasks)
            except Exception:
                log.exception("a call could not be released as it should")
            finally:  # whatever happened: its place is free again
                self._on_end(self)

    async def _release(self) -> None:
        try:
            if self.session is not None:
                await self.session.close()
        finally:
            async with asyncio.timeout(RELEASE_WITHIN_S):  # a peer that is gone answers no goodbye
                await self._pc.close()

    async def _tend(self, session: Show) -> None:
        """Tell the page how it goes; return when nothing has come from the peer for a while."""
        clock = asyncio.get_running_loop()
        received, heard_s = -1, clock.time()
        while clock.time() - heard_s < self._silent_after_s:
            self._send({"state": "live", **session.stats()})
            await asyncio.sleep(TEND_EVERY_S)
            if (now_received := await self._packets_received()) != received:
                received, heard_s = now_received, clock.time()
        log.info("a caller has been silent for %g s: hanging up", self._silent_after_s)

    async def _packets_received(self) -> int:
        report = await self._pc.getStats()
        return sum(stats.packetsReceived for stats in report.values() if stats.type == "transport")

    async def _say_goodbye(self, running: asyncio.Task[None], tending: asyncio.Task[None]) -> None:
        """Tell the page why it is over, if it can still be told."""
        ended = [task for task in (running, tending) if task.done() and not task.cancelled()]
        error = next((error for task in ended if (error := task.exception()) is not None), None)
        if isinstance(error, S2vError):
            log.warning("a session failed: %s", error)
        elif error is not None:
            log.error("a session failed", exc_info=error)
        if error is not None:
            self._send({"state": "failed", "error": str(error) or type(error).__name__})
        else:
            self._send({"state": "ended" if running.done() else "closed"})
        if self._pc.connectionState == "connected":
            await asyncio.sleep(LINGER_S)

    def _send(self, message: dict[str, Any]) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps(message))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._microphone = track
            receiver = next(receiver for receiver in self._pc.getReceivers() if receiver.track is track)
            self._packets = InOrderPackets()
            take_promptly(receiver, self._packets)

    def _on_state(self) -> None:
        if self._pc.connectionState == "connected":
            self._connected.set()
        elif self._pc.connectionState in ("failed", "closed"):
            self._hung_up.set()
