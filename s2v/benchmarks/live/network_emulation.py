"""The network between the benchmark's caller and its server: loopback, and as bad as one wishes."""

from __future__ import annotations

import asyncio
import contextlib
import random

from aiortc import RTCPeerConnection

from s2v.streaming.webrtc.aiortc_internals import Recv, Send, change_host_addresses, intercept

MEDIA = range(128, 192)  # first byte of RTP and RTCP (RFC 7983): handshakes and the data channel are spared


def loopback_only() -> None:
    """Connection candidates on 127.0.0.1 only, in this process: nothing leaves the machine."""
    assert change_host_addresses(lambda _: ["127.0.0.1"]), "a benchmark must not leave the machine"


class EmulatedNetwork:
    """Loses and delays the media packets of one connection, in both directions; their order is kept."""

    def __init__(self, pc: RTCPeerConnection, loss: float, jitter_s: float, seed: int = 0) -> None:
        """Take hold of a connection whose candidates are negotiated; it has one transport for everything.

        Args:
            loss: share of the packets lost, 0 to 1. jitter_s: each one is kept up to this long.
        """
        self._loop = asyncio.get_running_loop()
        self._random = random.Random(seed)
        self._loss, self._jitter_s = loss, jitter_s
        self._came: asyncio.Queue[bytes | ConnectionError] = asyncio.Queue()
        self._free_s = [0.0, 0.0]  # when the packet before has left, by direction
        self._sending: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None
        intercept(pc, self._take_hold)

    async def close(self) -> None:
        tasks = [*self._sending, *([self._pump] if self._pump else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _take_hold(self, send: Send, recv: Recv) -> tuple[Send, Recv]:
        self._real_send, self._real_recv = send, recv
        return self._send, self._recv

    async def _send(self, data: bytes) -> None:
        if not self._is_lost(data):
            task = self._loop.create_task(self._send_at(self._due_s(data, 0), data))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send_at(self, due_s: float, data: bytes) -> None:
        await asyncio.sleep(due_s - self._loop.time())
        with contextlib.suppress(ConnectionError):  # hung up meanwhile
            await self._real_send(data)

    async def _recv(self) -> bytes:
        self._pump = self._pump or self._loop.create_task(self._receive())
        data = await self._came.get()
        if isinstance(data, ConnectionError):
            raise data
        return data

    async def _receive(self) -> None:
        try:
            while True:
                data: bytes = await self._real_recv()
                if not self._is_lost(data):
                    self._loop.call_at(self._due_s(data, 1), self._came.put_nowait, data)
        except ConnectionError as error:
            self._came.put_nowait(error)

    def _is_lost(self, data: bytes) -> bool:
        return data[0] in MEDIA and self._random.random() < self._loss

    def _due_s(self, data: bytes, way: int) -> float:
        kept_s = self._random.uniform(0.0, self._jitter_s) if data[0] in MEDIA else 0.0
        self._free_s[way] = max(self._free_s[way], self._loop.time() + kept_s)
        return self._free_s[way]
