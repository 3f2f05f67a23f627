from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families
from streaming.client import Client
from streaming.fakes import FakeEngine, fake_avatar, session_of, tone_clip
from streaming.virtual_time import VirtualTime

from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.server.metrics import COUNTED, Metrics


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


async def read(client: Client) -> dict[str, float]:
    """Every sample of /metrics, by name, its one label's value appended."""
    reply = await client.get("/metrics")
    assert reply.status == 200 and reply.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(await reply.text())
    return {":".join([s.name, *s.labels.values()]): s.value for family in families for s in family.samples}


def test_a_server_that_did_nothing_says_so() -> None:
    async def ask() -> None:
        async with TestClient(TestServer(create_app(LiveOptions(fake_avatar())))) as client:
            found = await read(client)
        for name in COUNTED:
            assert found[f"s2v_{name.replace('_ms', '_seconds')}_total"] == 0
        assert found["s2v_sessions"] == found["s2v_offers_served_total"] == found["s2v_playout_delay_seconds_max"] == 0
        assert found["process_resident_memory_bytes"] > 1e6

    run(ask)


def test_the_shared_runtime_and_the_places_are_told() -> None:
    async def ask() -> None:
        runtime = SimpleNamespace(batches=3, rows=7, pid=os.getpid(), trouble=None, shortage=None, restart_failed=False)
        options = LiveOptions(fake_avatar(), max_sessions=5, runtime=runtime)
        async with TestClient(TestServer(create_app(options))) as client:
            found = await read(client)
            assert (found["s2v_network_batches_total"], found["s2v_network_frames_total"]) == (3, 7)
            drawing, own = (found[f"{of}process_resident_memory_bytes"] for of in ("s2v_render_", ""))
            assert drawing == pytest.approx(own, rel=0.1), "here it is this process"
            assert found["s2v_sessions_max"] == 5 and found["s2v_lag_seconds_max"] == 0

    run(ask)


def test_refused_offers_are_counted_by_their_status() -> None:
    async def ask() -> None:
        async with (
            TestClient(TestServer(create_app(LiveOptions(fake_avatar(), max_sessions=0)))) as full,
            TestClient(TestServer(create_app(LiveOptions(fake_avatar())))) as other,
        ):
            await full.post("/offer", json={"type": "nonsense"})
            await full.post("/offer", json={"type": "nonsense"})
            found = await read(full)
            assert found["s2v_offers_refused_total:400"] == 2
            assert "s2v_offers_refused_total:400" not in await read(other), "two applications do not meet"

    run(ask)


def test_counts_stay_when_a_session_ends_and_never_go_back() -> None:
    time = VirtualTime()

    async def play() -> None:
        metrics = Metrics()
        session = session_of(tone_clip(1.0), FakeEngine, time, monitor=metrics)
        seen = []

        def drawn() -> float:
            seen.append(metrics.registry.get_sample_value("s2v_frames_drawn_total"))
            return seen[-1] or 0.0

        assert drawn() == 0
        await session.open()
        assert metrics.registry.get_sample_value("s2v_sessions") == 1
        playout_delay_s = metrics.registry.get_sample_value("s2v_playout_delay_seconds_max")
        assert playout_delay_s == pytest.approx(session.clock.playout_delay_s)
        await session.run()
        assert drawn() == 25
        await session.close()
        await session.close()
        assert drawn() == 25
        assert metrics.registry.get_sample_value("s2v_sessions") == 0
        again = session_of(tone_clip(0.2), FakeEngine, time, monitor=metrics)
        await again.run()
        await again.close()
        assert drawn() == 30
        networks = metrics.registry.get_sample_value("s2v_stage_seconds_count", {"stage": "network"})
        assert networks == 30, "one entry for each frame"

    time.run(play())
