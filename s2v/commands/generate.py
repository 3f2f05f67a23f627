"""The command that makes a video: `s2v generate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.face import add_face_options, avatar_options, refuse_without_idle
from s2v.terminal import print_note, print_result


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_face_options(parser, max_side_px=1080, films=True)
    parser.add_argument(
        "--audio", type=Path, required=True, metavar="FILE", help="the speech: any audio file, or a video's sound"
    )
    parser.add_argument(
        "--listen-to",
        type=Path,
        metavar="FILE",
        help="the other side of a conversation: the face hears it, who watches the video does not; cut to the length "
        "of --audio, or followed by silence",
    )
    parser.add_argument(
        "--length",
        choices=("sound", "film"),
        default="sound",
        help="how long the dubbed film is: as the sound (default; the film is cut, or goes on as --extend says), or as "
        "the film (the sound is cut, or followed by silence)",
    )
    parser.add_argument(
        "--extend",
        choices=("pingpong", "loop", "freeze"),
        default="pingpong",
        help="what a film does that ends before the sound: goes back and forth (default), begins again, stands still",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.mp4", help="the video to write")
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    parser.add_argument(
        "--crf", type=int, default=18, metavar="N", help="quality, 0 (lossless) to 51 (default %(default)s)"
    )
    parser.add_argument(
        "--preset", default="veryfast", metavar="NAME", help="x264's, ultrafast to veryslow (default %(default)s)"
    )
    _add_report_options(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.media.dub_film import DubOptions
    from s2v.media.generate import generate
    from s2v.media.mp4 import Encoding

    refuse_without_idle(args, "listen_to")
    report = generate(
        args.face,
        args.audio,
        args.output,
        avatar_options(args),
        listen_to=args.listen_to,
        face_index=args.face_index,
        dubbing=DubOptions(args.length, args.extend),
        encoding=Encoding(args.crf, args.preset, args.force),
        progress=not (args.quiet or args.json),
    )
    if args.json:
        print_result(report.as_json())
    elif not args.quiet:
        print_note(report.as_text())
    return 0


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary; warnings and errors only")


COMMAND = Command("generate", "make a video of a face, a photo's or a film's, saying a recording", _add_options, _run)
