"""`GET /metrics`: what a server has done and how long it takes, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import prometheus_client as prometheus
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from s2v.streaming.session.session import Session
from s2v.streaming.session.stage_times import Stage

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
COUNTED = {
    "frames_drawn": "Video frames drawn.",
    "frames_sent": "Pictures handed to an encoder, repeats included.",
    "frames_late": "Frames drawn whose moment had passed.",
    "frames_dropped": "Frames pushed out of a full queue.",
    "underruns": "Voice packets sent with audio missing.",
    "stalls": "Times a source stood still and was placed anew.",
    "audio_skipped_ms": "Audio never drawn because the machine was too slow.",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RuntimeCounters(Protocol):
    """What is shared by all sessions: `s2v.streaming.render.client.RenderClient`."""

    batches: int
    rows: int

    @property
    def pid(self) -> int: ...

    @property
    def trouble(self) -> str | None: ...  # why nothing can be drawn now

    @property
    def shortage(self) -> str | None: ...  # why another session cannot be drawn, beside those that are

    @property
    def restart_failed(self) -> bool: ...  # and it does not come back by itself


class Metrics(Collector):
    """Of one application, with a registry of its own: two in one process do not meet.

    Sessions report themselves (`SessionMonitor`); the counts of those that have ended are kept. Nothing is
    computed until somebody asks, but for one histogram entry a stage and frame.
    """

    def __init__(self, runtime: RuntimeCounters | None = None, max_sessions: int | None = None) -> None:
        self._runtime = runtime
        self.max_sessions = max_sessions
        self.registry = prometheus.CollectorRegistry()
        self._live: set[Session] = set()
        self._ended: Counter[str] = Counter()
        self._served = 0
        self._refused: Counter[str] = Counter()
        histogram = prometheus.Histogram(
            "s2v_stage_seconds",
            "How long each stage takes, from sound to sent picture.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._stages = histogram
        self.registry.register(self)
        prometheus.ProcessCollector(registry=self.registry)
        if runtime is not None:
            prometheus.ProcessCollector("s2v_render", lambda: runtime.pid, registry=self.registry)
        prometheus.PlatformCollector(registry=self.registry)

    def began(self, session: Session) -> None:
        self._live.add(session)

    def observe(self, stage: Stage, seconds: float) -> None:
        self._stages.labels(stage).observe(seconds)

    def ended(self, session: Session) -> None:
        if session in self._live:
            self._live.remove(session)
            self._ended.update(_counts(session))

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for: counters over all sessions, live ones and those that have ended."""
        total = self._ended + sum((Counter(_counts(session)) for session in self._live), Counter())
        for name, text in COUNTED.items():
            if name == "audio_skipped_ms":
                yield CounterMetricFamily("s2v_audio_skipped_seconds", text, total[name] / 1000)
            else:
                yield CounterMetricFamily(f"s2v_{name}", text, total[name])
        yield GaugeMetricFamily("s2v_sessions", "Sessions that are open now.", len(self._live))
        yield CounterMetricFamily("s2v_offers_served", "Offers answered.", self._served)
        refused = CounterMetricFamily("s2v_offers_refused", "Offers refused, by HTTP status.", labels=["status"])
        for status, count in self._refused.items():
            refused.add_metric([status], count)
        yield refused
        if self.max_sessions is not None:
            yield GaugeMetricFamily("s2v_sessions_max", "Sessions that may be open at a time.", self.max_sessions)
        if self._runtime is not None:
            yield CounterMetricFamily("s2v_network_batches", "Runs of the frame network.", self._runtime.batches)
            yield CounterMetricFamily("s2v_network_frames", "Frames in these runs.", self._runtime.rows)
        lags_s = [session.lag_s for session in self._live]
        yield GaugeMetricFamily(
            "s2v_lag_seconds_max", "How far any session's drawing is behind its audio.", max(lags_s, default=0)
        )
        playout_delays_s = [session.clock.playout_delay_s for session in self._live]
        yield GaugeMetricFamily(
            "s2v_playout_delay_seconds_max",
            "The longest that any session holds voice and face back.",
            max(playout_delays_s, default=0),
        )
        yield GaugeMetricFamily(
            "s2v_playout_delay_seconds_mean",
            "How long sessions hold back, on average.",
            sum(playout_delays_s) / max(len(playout_delays_s), 1),
        )

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self._answer)]

    async def _answer(self, _: web.Request) -> web.Response:
        # the plain text format, whatever is asked for: one address, one format, for people too
        text = prometheus.generate_latest(self.registry)
        return web.Response(body=text, headers={"Content-Type": prometheus.CONTENT_TYPE_LATEST})

    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """Counts the answers to offers; the outermost one, so that it sees what the caller gets."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            if request.path == "/offer" and request.method == "POST":
                if response.status < 400:
                    self._served += 1
                else:
                    self._refused[str(response.status)] += 1
            return response

        return count


def _counts(session: Session) -> dict[str, int]:
    stats = session.stats()
    return {name: value for name in COUNTED if isinstance(value := stats.get(name), int)}
