"""The test client of the live application, and what its tracks give as the kind of frame a test expects."""

from __future__ import annotations

from typing import Any

import av
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiortc import MediaStreamTrack
from av.frame import Frame

Client = TestClient[web.Request, web.Application]


async def next_picture(track: MediaStreamTrack) -> av.VideoFrame:
    frame = await track.recv()
    assert isinstance(frame, av.VideoFrame)
    return frame


async def next_sound(track: MediaStreamTrack) -> av.AudioFrame:
    frame = await track.recv()
    assert isinstance(frame, av.AudioFrame)
    return frame


def pts_of(frame: Frame | av.Packet[Any]) -> int:
    """Its time stamp, in units of its time base; frames that are sent always have one."""
    assert frame.pts is not None
    return frame.pts
