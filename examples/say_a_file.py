"""One photo says recordings: each becomes an mp4. The face is looked at once, however many there are.

python examples/say_a_file.py me.jpg speech.wav
python examples/say_a_file.py me.jpg one.wav two.mp3 --folder videos --seed 3 --force
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import s2v


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path, help="of somebody who looks at the camera")
    parser.add_argument("recordings", type=Path, nargs="+", help="audio files, or videos for their sound")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the videos go, by the recordings' names")
    parser.add_argument("--face-index", type=int, metavar="N", help="which face of several, from the left")
    parser.add_argument("--seed", type=int, default=0, help="another one blinks and moves otherwise")
    parser.add_argument("--force", action="store_true", help="replace videos that are there already")
    return parser


def main() -> int:
    args = build_parser().parse_args()
    try:
        avatar = s2v.load_avatar(args.photo, face_index=args.face_index, seed=args.seed)
        args.folder.mkdir(parents=True, exist_ok=True)
        for recording in args.recordings:
            video = args.folder / f"{recording.stem}.mp4"
            s2v.generate(avatar, recording, video, encoding=s2v.Encoding(overwrite=args.force))
            print(video)
    except s2v.S2vError as error:  # one line: what was found, what is wanted, what to do
        print(f"say_a_file: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
