"""One caller: a WebRTC connection around one session, from the offer to the clean-up."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection, RTCSessionDescription, RTCTransportStats
from aiortc.exceptions import OperationError

from s2v.errors import S2vError, StreamError
from s2v.streaming.session.session import Stats
from s2v.streaming.session.wishes import Wishes
from s2v.streaming.sources.peer import PeerSource
from s2v.streaming.sources.source import AudioSource
from s2v.streaming.webrtc.aiortc_internals import SessionDescription, ignore_goodbyes, replace_jitter_buffer
from s2v.streaming.webrtc.ice import IceServer, configuration, resolve_mdns, without_mdns_candidates
from s2v.streaming.webrtc.jitter_buffer import InOrderJitterBuffer
from s2v.streaming.webrtc.offer import Offer, refuse_unusable
from s2v.streaming.webrtc.offer_sdp import OfferSdp

log = logging.getLogger(__name__)

TEND_EVERY_S = 0.5
RELEASE_WITHIN_S = 5.0
MESSAGE_BYTES = 200  # what an empty one costs, or a channel
MAX_UNASKED_BYTES = 128 * 1024
FORGIVEN_BYTES = 2 * 1024  # of them, TEND_EVERY_S: a page whose visitor moves a slider may say so ten times a second
LINGER_S = 0.5  # between telling the page that the end has come and hanging up


class CallStream(Protocol):
    """What a call carries: a `Session` of its own, or a `Subscriber` of the shared broadcast."""

    @property
    def voice_track(self) -> MediaStreamTrack: ...

    @property
    def face_track(self) -> MediaStreamTrack: ...

    @property
    def lag_s(self) -> float: ...

    async def open(self) -> None: ...

    def grant(self, wishes: Wishes) -> None: ...

    def listen_to(self, source: AudioSource) -> None: ...

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
        make_session: Callable[[AudioSource], CallStream],
        on_end: Callable[[Call], None],
        connect_within_s: float,
        silent_after_s: float,
        ice_servers: Sequence[IceServer] = (),
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`now` must be on the axis of the session's clock: the microphone's packets are stamped with it."""
        self.session: CallStream | None = None
        self.state = "new"
        self._make_session = make_session
        self._on_end = on_end
        self._connect_within_s = connect_within_s
        self._silent_after_s = silent_after_s
        self._now = now
        self._sleep = sleep
        self._pc = RTCPeerConnection(configuration(ice_servers))
        self._offered: OfferSdp
        self._channel: RTCDataChannel | None = None
        self._microphone: MediaStreamTrack | None = None
        self._packets: InOrderJitterBuffer | None = None
        self._connected = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._unasked_bytes = 0
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("datachannel", self._on_channel)
        self._pc.on("track", self._on_track)

    @property
    def ending(self) -> bool:
        """Whether it is being released, and its place is as good as free."""
        return self._hung_up.is_set() or self.state == "closed"

    async def answer(
        self,
        offer: Offer,
        voice: AudioSource | None,
        subscribe: Callable[[], CallStream] | None = None,
        listens: bool = False,
    ) -> RTCSessionDescription:
        """Take the offer; `voice` drives the face if given, else the caller's microphone; or `subscribe` to what is on.

        Args: listens: a microphone that drives nothing is heard by the face; else it is not received at all.
        Raises: StreamError, the description is unusable. S2vError, the engine cannot be opened. Closed after both.
        """
        try:
            await self._take(offer)
            plays = voice is not None or subscribe is not None
            hears = listens and (self._microphone is not None or offer.input == "mic")
            microphone = None if plays and not hears else self._microphone_source()
            self.session = self._stream_of(voice if voice is not None else microphone, subscribe)
            await self.session.open()  # before the answer: no audio can pile up while a model loads
            self.session.grant(offer.wishes)
            if plays and microphone is not None:
                self.session.listen_to(microphone)
            self._pc.addTrack(self.session.voice_track)
            self._pc.addTrack(self.session.face_track)
            for transceiver in self._pc.getTransceivers():  # refuse what nobody would read
                reads = transceiver.kind == "audio" and microphone is not None
                transceiver.direction = "sendrecv" if reads else "sendonly"
            await self._agree()
        except BaseException:
            await self._release()
            raise
        self._life = asyncio.create_task(self._live(self.session))
        ours = self._pc.localDescription
        return RTCSessionDescription(self._offered.answer(ours.sdp), ours.type)

    def tell_busy(self, reason: str) -> None:
        """Let the page know why its pictures come slowly."""
        self._send({"state": "busy", "error": reason})

    async def close(self) -> None:
        """Hang up and join everything; safe to call at any time and twice."""
        self._hung_up.set()
        if self._life is not None:
            await asyncio.wait([self._life])

    async def _take(self, offer: Offer) -> None:
        try:
            self._offered = OfferSdp.read(offer.sdp)
            refuse_unusable(SessionDescription.parse(self._offered.text))
            sdp, hidden = without_mdns_candidates(self._offered.text)
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            self._resolving = asyncio.create_task(resolve_mdns(self._pc, hidden))
        except StreamError:
            raise
        except OperationError:
            raise StreamError("the offer has no codec that both know: offer Opus, and VP8 or H264") from None
        except Exception as error:  # the SDP parser raises whatever it trips over: all of it is the caller's text
            raise StreamError(
                f"the offer's SDP cannot be read ({type(error).__name__}: {str(error)[:60]}): send what browsers make"
            ) from None

    async def _agree(self) -> None:
        try:
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except OSError as error:
            raise S2vError(f"this machine gives no socket for another call ({error}): try again later") from None
        except Exception as error:  # what it asks for may go together only so far: aiortc notices here
            raise StreamError(f"the offer's SDP has no answer ({type(error).__name__}: {str(error)[:80]})") from None

    def _stream_of(self, source: AudioSource | None, subscribe: Callable[[], CallStream] | None) -> CallStream:
        if subscribe is not None:
            return subscribe()
        assert source is not None, "a voice, or else the microphone"
        return self._make_session(source)

    def _microphone_source(self) -> AudioSource:
        if self._microphone is None:
            raise StreamError("the offer sends no audio: add the microphone's track, or ask for the voice")
        return PeerSource(self._microphone, self._packets)

    async def _live(self, session: CallStream) -> None:
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
        if self._resolving is not None:
            self._resolving.cancel()
        try:
            if self.session is not None:
                await self.session.close()
        finally:
            await self._hang_up()

    async def _hang_up(self) -> None:
        transports = [t.receiver.transport for t in self._pc.getTransceivers()]
        transports += [self._pc.sctp.transport] if self._pc.sctp is not None else []
        try:
            async with asyncio.timeout(RELEASE_WITHIN_S):  # a peer that is gone answers no goodbye
                await self._pc.close()
        except Exception as error:  # TimeoutError, or aiortc's own: the sockets must not stay open
            log.warning("a connection was cut, not closed (%s)", type(error).__name__)
            for transport in transports:
                if transport is not None:
                    await transport.transport.stop()

    async def _tend(self, session: CallStream) -> None:
        """Tell the page how it goes; return when nothing has come from the peer for a while."""
        received, heard_s = -1, self._now()
        while self._now() - heard_s < self._silent_after_s:
            self._unasked_bytes = max(self._unasked_bytes - FORGIVEN_BYTES, 0)
            self._send({"state": "live", **session.stats()})
            await self._sleep(TEND_EVERY_S)
            if (now_received := await self._packets_received()) != received:
                received, heard_s = now_received, self._now()
        log.info("a caller has been silent for %g s: hanging up", self._silent_after_s)

    async def _packets_received(self) -> int:
        report = await self._pc.getStats()
        return sum(stats.packetsReceived for stats in report.values() if isinstance(stats, RTCTransportStats))

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
            await self._sleep(LINGER_S)

    def _send(self, message: dict[str, Any]) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps(message))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._on_message)
        self._on_message("")

    def _on_message(self, message: str | bytes) -> None:
        """Our page opens one channel and says little; unpacking what others pour in takes the time of all calls."""
        self._unasked_bytes += MESSAGE_BYTES + len(message)
        if self._hung_up.is_set():
            return
        if self._unasked_bytes > MAX_UNASKED_BYTES:
            log.info("a caller floods its data channel: hanging up")
            self._hung_up.set()
        elif isinstance(message, str) and self.session is not None:
            try:
                self.session.grant(Wishes.in_message(message))
            except StreamError as error:
                self._send({"state": "refused", "error": str(error)})

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._microphone = track
            receiver = next(receiver for receiver in self._pc.getReceivers() if receiver.track is track)
            self._packets = InOrderJitterBuffer(self._now)
            replace_jitter_buffer(receiver, self._packets)
            ignore_goodbyes(receiver)

    def _on_state(self) -> None:
        if self._pc.connectionState == "connected":
            self._connected.set()
        elif self._pc.connectionState in ("failed", "closed"):
            self._hung_up.set()
