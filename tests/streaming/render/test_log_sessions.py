"""What the drawing process logs for a session bears that session's id."""

from __future__ import annotations

import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

from fakes import FakeBackend
from streaming.fakes import FakeEngine, fake_avatar

from s2v.engine.avatar import AvatarOptions
from s2v.engine.backends.batcher import BatchingBackend
from s2v.logs import in_session, session_id
from s2v.streaming.render.process import RequestHandler
from s2v.streaming.render.remote_engine import RemoteEngine


def test_an_engine_works_under_the_id_of_the_session_that_opened_it() -> None:
    seen: list[str] = []
    engine, key = FakeEngine(), b"shared"

    def make_engine() -> FakeEngine:
        seen.append(session_id())
        return engine

    avatar = fake_avatar(make_engine)

    class Factory:
        """What `RequestHandler` asks of its factory; its face is not looked at."""

        def avatar_of(self, face: object) -> object:
            return avatar

    backend = BatchingBackend(FakeBackend)
    handler = RequestHandler(Factory(), backend, key)  # type: ignore[arg-type]

    class Process:
        """A render process that is a thread."""

        batches = rows = 0
        cpu_s = 0.0
        spec, name = engine.spec, "fake"

        def call(self) -> Connection:
            ours, theirs = Pipe()
            threading.Thread(target=handler.serve, args=(theirs,), daemon=True).start()
            answer_challenge(ours, key)
            deliver_challenge(ours, key)
            return ours

    for name in ("0a1b2c3d", "shared"):
        with in_session(name):
            RemoteEngine(Process(), avatar.face, "face", AvatarOptions()).close()
    backend.close()
    assert seen == ["0a1b2c3d", "shared"]
    assert session_id() == ""
