"""What one server shows, and all its calls: opened, counted, refused, joined at the end."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from aiohttp import web

from s2v.engine.avatar import CALL_PIXELS, Avatar
from s2v.engine.behaviour.mood import Mood
from s2v.engine.behaviour.options import USUAL as USUAL_LIVELINESS
from s2v.engine.behaviour.options import check_mood
from s2v.engine.face.articulation import USUAL
from s2v.errors import S2vError, StreamError
from s2v.logs import in_session, new_session_id
from s2v.machine import give_memory_back
from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ, AudioClip
from s2v.streaming.broadcast.broadcast import Broadcast, BroadcastSource
from s2v.streaming.server.access import LOOPBACK_ONLY, Access
from s2v.streaming.server.capacity import Capacity
from s2v.streaming.server.face_store import ONE_FACE, FaceOptions, FaceStore
from s2v.streaming.server.machine_load import MachineLoad
from s2v.streaming.server.metrics import Metrics, RuntimeCounters
from s2v.streaming.session.session import Session
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.source import AudioSource
from s2v.streaming.webrtc.call import Call
from s2v.streaming.webrtc.ice import IceServer
from s2v.streaming.webrtc.offer import Offer

SILENCE = AudioClip(np.zeros(PLAYBACK_HZ, np.float32), np.zeros(ENGINE_HZ, np.float32))  # a second, to be repeated
BUSY_FOR_S = 10  # whoever is refused shall ask again then
SETTLED_AFTER_S = 5.0  # until then, a caller who was taken beyond the places does not show in how idle the machine is
STRAINED_S = 0.1  # faces drawn later than this after their audio: another caller would make it worse for all


@dataclass(frozen=True)
class LiveOptions:
    """What one server shows."""

    avatar: Avatar  # each session opens an engine of it, on the session's engine thread
    clip: AudioClip | None = None  # this voice drives the one face that every caller sees
    sample_clip: AudioClip | None = None  # what the page offers beside the caller's microphone
    loop: bool = False  # begin `clip` again when it ends
    max_sessions: int = 4
    capacity: Capacity | None = None  # as measured: more than `max_sessions` are taken when the machine does less else
    connect_within_s: float = 8.0  # half a second is usual; whoever closes the page meanwhile holds a place
    silent_after_s: float = 8.0  # a living peer sends receiver reports about every second, also from a hidden page
    access: Access = LOOPBACK_ONLY
    ice_servers: tuple[IceServer, ...] = ()  # for both ends of every call
    faces: FaceOptions = ONE_FACE  # beside this one
    broadcast_source: BroadcastSource | None = None  # the same as `clip`, of a microphone or a program
    runtime: RuntimeCounters | None = None  # what all engines share, for /metrics
    articulation: float | None = USUAL  # of every face unless its caller wants another; None: nobody can change it
    liveliness: float | None = USUAL_LIVELINESS  # the same
    mood: Mood | None = "neutral"  # the same, of a whole call
    listens: bool = False  # the face hears callers: in place of being driven by them, or while something else drives it

    @property
    def shared(self) -> BroadcastSource | None:
        """What drives the one face that everybody sees; None on a server where each caller has a session."""
        if (clip := self.clip) is None:
            return self.broadcast_source
        return BroadcastSource("file", lambda: FileSource(clip, self.loop), waits_for_subscribers=not self.loop)

    @property
    def inputs(self) -> list[str]:
        """What an offer may ask for."""
        if self.shared is not None:
            return ["shared"]
        return ["mic", *(["voice"] if self.sample_clip is not None else [])]


class CallManager:
    """All calls of one server: opens them, counts them, joins them at the end."""

    def __init__(
        self,
        options: LiveOptions,
        faces: FaceStore,
        load: MachineLoad | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options
        self.places = options.max_sessions
        self.load = load or MachineLoad()
        self._now = now
        self._grown_s = -math.inf
        self.metrics = Metrics(options.runtime, options.max_sessions)
        self._faces = faces
        self.broadcast = self._make_broadcast(options.shared) if options.shared is not None else None
        self.served = 0  # calls answered so far
        self._calls: set[Call] = set()

    def __len__(self) -> int:
        return len(self._calls)

    async def answer(self, offer: Offer) -> dict[str, str]:
        """Open a call; returns the answer for the browser.

        Raises: UnknownFaceError. StreamError, the offer is unusable. S2vError, the engine cannot be opened.
        """
        if (offer.input == "shared") != (self.broadcast is not None):
            raise StreamError(f"this server has no input {offer.input!r}: ask for {' or '.join(self.options.inputs)}")
        options, mood, voice = self.options, self._mood_for(offer), self._voice_for(offer)
        face = self._faces.hold(offer.face)
        subscribe = self.broadcast.subscribe if self.broadcast is not None else None

        def end(call: Call) -> None:
            self._calls.discard(call)
            self._faces.release(face)
            if not self._calls:  # nobody to disturb
                asyncio.get_running_loop().run_in_executor(None, give_memory_back)

        call = Call(
            partial(self._session_of, face.avatar, mood),
            end,
            options.connect_within_s,
            options.silent_after_s,
            options.ice_servers,
        )
        self._take(call)  # before anything is awaited
        try:
            with in_session(new_session_id()):
                answer = await call.answer(offer, voice, subscribe, options.listens)
        except BaseException:
            end(call)
            raise
        self.served += 1
        return {"sdp": answer.sdp, "type": answer.type}

    def refusal(self) -> tuple[str, int] | None:
        """Why no further call can be taken now, and after how many seconds to ask again."""
        if (runtime := self.options.runtime) is not None:
            if runtime.trouble is not None:
                return f"{runtime.trouble}: try again in ten seconds", BUSY_FOR_S
            if self.broadcast is None and (shortage := runtime.shortage) is not None:
                return shortage, BUSY_FOR_S
        calls = [call for call in self._calls if not call.ending]
        # one that has not drawn yet says nothing
        lags_s = [lag_s for call in calls if (lag_s := _lag_s(call)) > 0]
        lag_s = max(statistics.median(lags_s), self.load.loop_lag_s) if lags_s else 0.0
        places = self.places
        if len(calls) >= places and self._has_room(len(calls), lag_s):
            places = len(calls) + 1
        if len(calls) >= places or len(self) >= 2 * places:  # who rings and hangs up all the time must wait as well
            taken = "the only place is" if places == 1 else f"all {places} places are"
            return f"{taken} taken by other callers: try again in a minute", 60
        if lag_s > STRAINED_S:
            text = f"this machine is busy, its faces are {1000 * lag_s:.0f} ms behind: try again in ten seconds"
            return text, BUSY_FOR_S
        return None

    def tell_who_is_behind(self) -> None:
        """Callers who are in see slow pictures: tell them why; said again as long as it lasts."""
        for call in self._calls:
            if (behind_s := max(_lag_s(call), self.load.loop_lag_s)) > STRAINED_S:
                call.tell_busy(f"the server's machine is busy, the face is {1000 * behind_s:.0f} ms behind")

    def _has_room(self, calls: int, lag_s: float) -> bool:
        """Whether the machine is so much less busy now than when the places were counted that it carries one more."""
        capacity = self.options.capacity
        if capacity is None or lag_s > STRAINED_S or self._now() - self._grown_s < SETTLED_AFTER_S:
            return False
        return capacity.has_room(calls, self.load.idle_cores, lag_s)

    def _take(self, call: Call) -> None:
        """Count it; where `refusal` found room beyond the places, there is one more from now on."""
        self._calls.add(call)
        if self.options.capacity is not None and (calls := sum(not each.ending for each in self._calls)) > self.places:
            self.places = self.metrics.max_sessions = calls
            self._grown_s = self._now()

    def state(self) -> dict[str, Any]:
        calls = [{"state": call.state, **call.session.stats()} for call in self._calls if call.session is not None]
        broadcast = {} if self.broadcast is None else {"broadcast": self.broadcast.state()}
        return {"sessions": len(self), "served": self.served, "calls": calls, **broadcast}

    async def close(self) -> None:
        await asyncio.gather(*(call.close() for call in list(self._calls)))
        if self.broadcast is not None:
            await self.broadcast.close()

    def _make_broadcast(self, voice: BroadcastSource) -> Broadcast:
        return Broadcast(voice, partial(self._session_of, self.options.avatar, None))

    def _session_of(self, avatar: Avatar, mood: Mood | None, source: AudioSource) -> Session:
        make_engine, moves = partial(avatar.engine, CALL_PIXELS, mood), self.options.liveliness is not None
        return Session(source, make_engine, avatar.still_bgr, monitor=self.metrics, moves=moves)

    def _mood_for(self, offer: Offer) -> Mood | None:
        """What a call's own face shall have; None is the server's own. Raises: StreamError, it cannot be."""
        if offer.mood is None:
            return None
        if self.broadcast is not None:
            raise StreamError("everybody sees this face: its mood is the server's, leave it out")
        if self.options.mood is None:
            raise StreamError("this server's faces hold still but for their lips: leave mood out")
        try:
            return check_mood(offer.mood)
        except S2vError as error:
            raise StreamError(str(error)) from None

    def _voice_for(self, offer: Offer) -> FileSource | None:
        """What drives a call's own face in place of its microphone, if anything does."""
        if offer.input == "mic" and self.options.listens:
            return FileSource(SILENCE, loop=True)
        if offer.input != "voice":
            return None
        if self.options.sample_clip is None:
            raise StreamError("this server has no voice to play: use the microphone, or start it with --audio FILE")
        return FileSource(self.options.sample_clip)


def _lag_s(call: Call) -> float:
    return 0.0 if call.session is None else call.session.lag_s


CALL_MANAGER = web.AppKey("call_manager", CallManager)
