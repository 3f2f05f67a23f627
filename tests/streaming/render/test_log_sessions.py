"""What the drawing process logs for a session bears that session's id."""

from __future__ import annotations

from streaming.fakes import FakeEngine, fake_avatar
from streaming.render_thread import render_thread

from s2v.engine.avatar import AvatarOptions
from s2v.logs import in_session, session_id
from s2v.streaming.render.remote_engine import RemoteEngine


def test_an_engine_works_under_the_id_of_the_session_that_opened_it() -> None:
    seen: list[str] = []

    def make_engine() -> FakeEngine:
        seen.append(session_id())
        return FakeEngine()

    avatar = fake_avatar(make_engine)
    with render_thread(avatar) as process:
        for name in ("0a1b2c3d", "shared"):
            with in_session(name):
                RemoteEngine(process, avatar.face, "face", AvatarOptions()).close()
    assert seen == ["0a1b2c3d", "shared"]
    assert session_id() == ""
