"""The old name of `s2v generate`, for scripts that still say it: `s2v predict -m MODEL -t AUDIO -f FACE`."""

from __future__ import annotations

import argparse
from pathlib import Path

from s2v.bundled import BUNDLED_FACE
from s2v.commands.command import Command
from s2v.errors import OutputError
from s2v.terminal import print_note


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-m", "--model", type=Path, metavar="FILE.onnx", help="of `s2v export` (default: the bundled one)"
    )
    parser.add_argument(
        "-t", "--target", type=Path, nargs="+", required=True, metavar="FILE",
        help="the speech: audio files, or videos whose sound is used; each becomes a video",
    )  # fmt: skip
    parser.add_argument(
        "-f", "--face", type=Path, default=BUNDLED_FACE, metavar="PHOTO", help="jpg, png, ... (default: bundled)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.mp4", help="the video to write (default: beside each target)"
    )
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")


def _run(args: argparse.Namespace) -> int:
    if args.output is not None and len(args.target) > 1:
        raise OutputError(f"{len(args.target)} targets do not fit in {args.output}: leave -o out, or give one target")
    from s2v.engine.avatar_factory import load_avatar
    from s2v.media.generate import generate
    from s2v.media.mp4 import Encoding, check_output

    outputs = [args.output or beside(target) for target in args.target]
    if twice := [str(output) for output in outputs if outputs.count(output) > 1]:
        raise OutputError(f"two targets would both become {twice[0]}: give them one by one, each with its own -o")
    for output in outputs:  # before the first is drawn
        check_output(output, args.force)
    avatar = load_avatar(args.face, model=args.model)
    for target, output in zip(args.target, outputs, strict=True):
        done = generate(avatar, target, output, encoding=Encoding(overwrite=args.force), progress=True)
        print_note(done.as_text())
    return 0


def beside(target: Path) -> Path:
    """Where the video of a target goes when nothing else is said: never over the target itself."""
    is_video = target.suffix.lower() == ".mp4"
    return target.with_name(f"{target.stem}-predicted.mp4") if is_video else target.with_suffix(".mp4")


COMMAND = Command("predict", "the old name of generate", _add_options, _run)
