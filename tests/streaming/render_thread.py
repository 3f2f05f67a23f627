"""The render process as a thread: its handler, and who talks with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

from fakes import FakeBackend

from s2v.engine.avatar import Avatar
from s2v.engine.backends.batcher import BatchingBackend
from s2v.spec import LipSyncSpec
from s2v.streaming.render.process import RequestHandler

KEY = b"shared"


class OneAvatar:
    """What `RequestHandler` asks of its factory; its face is not looked at."""

    def __init__(self, avatar: Avatar) -> None:
        self.avatar_of = lambda face: avatar


class RenderThread:
    """Fills `RenderProcess`."""

    batches = rows = 0
    cpu_s = 0.0
    spec, name = LipSyncSpec(), "fake"

    def __init__(self, handler: RequestHandler) -> None:
        self.handler = handler
        self._conversations: list[threading.Thread] = []

    def call(self) -> Connection:
        ours, theirs = Pipe()
        self._conversations.append(threading.Thread(target=self.handler.serve, args=(theirs,), daemon=True))
        self._conversations[-1].start()
        answer_challenge(ours, KEY)
        deliver_challenge(ours, KEY)
        return ours

    def join(self) -> None:
        for conversation in self._conversations:
            conversation.join(10)


@contextmanager
def render_thread(avatar: Avatar) -> Iterator[RenderThread]:
    """At the end every conversation has been hung up, by whoever called."""
    backend = BatchingBackend(FakeBackend)
    process = RenderThread(RequestHandler(OneAvatar(avatar), backend, KEY))  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.join()
        backend.close()
