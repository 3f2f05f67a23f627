"""A strip of frames from a video, to judge mouths by eye.

python examples/contact_sheet.py talking.mp4 sheet.png --frames 12 --columns 6
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import cv2
import numpy as np


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="first second to show")
    parser.add_argument("--seconds", type=float, default=None, metavar="S", help="how many seconds to show")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--tile", type=int, default=256, metavar="PX", help="height of a tile")
    parser.add_argument("--crop", type=int, nargs=4, metavar=("X", "Y", "W", "H"), help="part of the frame to show")
    return parser


def main() -> None:
    """Decode, pick frames at even steps, tile, write."""
    args = build_parser().parse_args()
    with av.open(str(args.video)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
        fps = float(container.streams.video[0].average_rate or 25)
    first = min(round(args.start * fps), len(frames) - 1)
    last = len(frames) if args.seconds is None else min(len(frames), first + round(args.seconds * fps))
    tiles = []
    for index in np.linspace(first, last - 1, args.frames).round().astype(int):
        frame = frames[index]
        if args.crop:
            x, y, width, height = args.crop
            frame = frame[y : y + height, x : x + width]
        scale = args.tile / frame.shape[0]
        tiles.append(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % args.columns)
    rows = [np.hstack(tiles[i : i + args.columns]) for i in range(0, len(tiles), args.columns)]
    cv2.imwrite(str(args.sheet), np.vstack(rows))


if __name__ == "__main__":
    main()
