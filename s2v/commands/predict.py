"""`s2v predict -m MODEL -t SPEECH -f FACE`: `s2v generate` by the names of the original Speech2Vid."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

from s2v.commands import generate
from s2v.commands.command import Command
from s2v.errors import OutputError

# Options of generate -> their names here, and what else is different.
_CALLED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "--face": (("-f", "--face"), {}),
    "--model": (("-m", "--model"), {}),
    "--audio": (
        ("-t", "--target", "--audio"),
        {
            "dest": "target",
            "nargs": "+",
            "help": "the speech: audio files, or videos whose sound is used; each becomes a video",
        },
    ),
    "-o": (("-o", "--output"), {"required": False, "help": "the video to write (default: beside each target)"}),
}


class _Renaming:
    """Takes generate's options for a parser, under their names here."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser

    def add_argument(self, *names: str, **how: Any) -> argparse.Action:
        called, changed = _CALLED.get(names[0], (names, {}))
        return self._parser.add_argument(*called, **(how | changed))


def _add_options(parser: argparse.ArgumentParser) -> None:
    generate.COMMAND.add_options(cast(argparse.ArgumentParser, _Renaming(parser)))


def _run(args: argparse.Namespace) -> int:
    if len(args.target) > 1 and (args.output is not None or args.json):
        what = (
            "are too many for --json, which prints one object"
            if args.output is None
            else f"do not fit in {args.output}"
        )
        raise OutputError(f"{len(args.target)} targets {what}: leave it out, or give one target")
    from s2v.media.mp4 import check_output

    outputs = [args.output or beside(target) for target in args.target]
    if twice := [str(output) for output in outputs if outputs.count(output) > 1]:
        raise OutputError(f"two targets would both become {twice[0]}: give them one by one, each with its own -o")
    for output in outputs:  # before the first is drawn
        check_output(output, args.force)
    for target, output in zip(args.target, outputs, strict=True):
        generate.COMMAND.run(argparse.Namespace(**vars(args) | {"audio": target, "output": output}))
    return 0


def beside(target: Path) -> Path:
    """Where the video of a target goes when nothing else is said: never over the target itself."""
    is_video = target.suffix.lower() == ".mp4"
    return target.with_name(f"{target.stem}-predicted.mp4") if is_video else target.with_suffix(".mp4")


COMMAND = Command("predict", "generate, with the options of the original Speech2Vid", _add_options, _run)
