"""What a session's engine logs on its thread bears the session's id."""

from __future__ import annotations

import asyncio

from streaming.fakes import FakeEngine

from s2v.logs import in_session, session_id
from s2v.streaming.session.engine_worker import EngineWorker


def test_the_engines_thread_knows_the_session_that_it_was_made_in() -> None:
    seen: list[str] = []

    def make_engine() -> FakeEngine:
        seen.append(session_id())
        return FakeEngine()

    async def opened_elsewhere() -> None:
        with in_session("0a1b2c3d"):
            worker = EngineWorker(make_engine, lambda frame: None, lambda: 0.0)
        await worker.open()
        await worker.close()

    asyncio.run(opened_elsewhere())
    assert seen == ["0a1b2c3d"]
