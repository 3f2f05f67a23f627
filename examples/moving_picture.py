"""A short silent animation (WebP) of a video that `s2v generate` made, for pages that show pictures only.

python examples/moving_picture.py talking.mp4 talking.webp --seconds 6 --height 320
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
from PIL import Image

# The IPTC's word for pictures in which real material and computed one are mixed.
SYNTHETIC = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType='
    '"http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"/></rdf:RDF></x:xmpmeta>'
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="first second to show")
    parser.add_argument("--seconds", type=float, default=6.0, metavar="S", help="how many seconds to show")
    parser.add_argument("--height", type=int, default=320, metavar="PX")
    parser.add_argument("--every", type=int, default=2, metavar="N", help="show every N-th frame")
    parser.add_argument("--quality", type=int, default=60, help="0 to 100")
    return parser


def main() -> None:
    """Decode, thin out, scale, write."""
    args = build_parser().parse_args()
    with av.open(str(args.video)) as container:
        fps = float(container.streams.video[0].average_rate or 25)
        first, count = round(args.start * fps), round(args.seconds * fps)
        shown = []
        for index, frame in enumerate(container.decode(video=0)):
            if index >= first + count:
                break
            if index >= first and (index - first) % args.every == 0:
                width = round(args.height * frame.width / frame.height)
                pixels = frame.reformat(width, args.height, "rgb24", interpolation="AREA").to_ndarray()
                shown.append(Image.fromarray(pixels))
    write(args.picture, shown, round(1000 * args.every / fps), args.quality)


def write(path: Path, frames: list[Image.Image], frame_ms: int, quality: int) -> None:
    """Frames one after the other, again and again, marked as synthetic."""
    frames[0].save(
        path,
        format="WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=frame_ms,
        loop=0,
        quality=quality,
        method=6,
        xmp=SYNTHETIC.encode(),
    )


if __name__ == "__main__":
    main()
