"""Talk, and a photo talks along: microphone chunks into an engine, frames onto the screen.

Without a screen, or with --strip, pictures of the last seconds become one wide jpg. --audio plays the microphone.

python examples/microphone_loop.py me.jpg
python examples/microphone_loop.py me.jpg --mic usb --seconds 10
python examples/microphone_loop.py me.jpg --audio speech.wav --strip strip.jpg
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections import deque
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import s2v
from s2v.media.audio_file import read_audio
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.microphone import MicrophoneSource
from s2v.streaming.sources.source import AudioSource

TILES, TILE_PX = 12, 160
FRAMES_PER_TILE = 5  # 0.2 s at 25 fps


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--mic", default="", metavar="NAME_OR_INDEX", help="default: the system's")
    parser.add_argument("--audio", type=Path, metavar="FILE", help="stands in for the microphone, in real time")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time (default: Ctrl-C)")
    parser.add_argument("--strip", type=Path, metavar="JPG", help="write pictures instead of showing them")
    return parser


async def talk(avatar: s2v.Avatar, source: AudioSource, seconds: float, strip: Path | None) -> None:
    """Until the source ends, the time is over, or Escape is pressed in the window."""
    tiles: deque[NDArray[np.uint8]] = deque(maxlen=TILES)
    end_s = time.monotonic() + seconds

    def show(frame: s2v.DrawnFrame) -> bool:
        if strip is None:
            cv2.imshow("speech2vid", frame.pixels)
            return cv2.waitKey(1) != 27  # Escape
        if frame.index % FRAMES_PER_TILE == 0:
            height, width = frame.pixels.shape[:2]
            tile = cv2.resize(frame.pixels, (TILE_PX * width // height, TILE_PX), interpolation=cv2.INTER_AREA)
            tiles.append(tile.astype(np.uint8, copy=False))
        return True

    going = True
    try:
        with avatar.engine() as engine:
            while going and time.monotonic() < end_s and (chunk := await source.read()) is not None:
                going = all(show(frame) for frame in engine.push(chunk.engine))
            for frame in engine.flush():  # what waited for sound that does not come any more
                show(frame)
    finally:
        source.close()
        await source.wait_closed()
        if strip is not None and tiles:
            cv2.imwrite(str(strip), np.hstack(tiles))


def main() -> int:
    args = build_parser().parse_args()
    has_screen = sys.platform in ("win32", "darwin") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    strip = args.strip or (None if has_screen else Path("strip.jpg"))
    try:
        source: AudioSource = MicrophoneSource(args.mic) if args.audio is None else FileSource(read_audio(args.audio))
        asyncio.run(talk(s2v.load_avatar(args.photo), source, args.seconds, strip))
    except s2v.S2vError as error:
        print(f"microphone_loop: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
