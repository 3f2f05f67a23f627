"""The `s2v` command: parse, call one library function, return an exit code.

A command is one entry of COMMANDS: a function that adds its options and one that runs it and imports
what it needs, so that `s2v --help` loads nothing. Exit codes: 0 done, 2 the input or the machine is
wrong (one line on stderr), 128 + n ended by signal n (130: Ctrl-C).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from s2v import __version__, cli_bench, cli_compile, cli_doctor, cli_evaluate, cli_live, cli_training
from s2v.cli_command import Command
from s2v.cli_face import add_face_options, idle_seed
from s2v.errors import S2vError

TRAINING_LIBRARIES = ("torch", "onnx", "onnxscript", "pocketsphinx", "matplotlib")
INPUT_ERROR = 2  # argparse's own too


def main(argv: Sequence[str] | None = None, commands: Sequence[Command] | None = None) -> int:
    """Run one command; returns the process's exit code. A traceback is a bug of ours."""
    try:
        try:
            args = build_parser(commands).parse_args(argv)
            _start_logging(logging.WARNING if getattr(args, "quiet", False) else logging.INFO)
            code: int = args.run(args)
            return code
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except S2vError as error:
        return _refuse(str(error))
    except ImportError as error:
        if (error.name or "").startswith("s2v"):
            raise
        needs = "run scripts/test" if error.name in TRAINING_LIBRARIES else "run scripts/live again"
        return _refuse(f"cannot load {error.name or 'a library'} ({error}): {needs}, which installs what is missing")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of our output has left, as in `s2v ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # a folder that may not be written, a name too long, a full disk: the machine's
        if error.strerror is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{where}{error.strerror}: check the path, its permissions and the space on its disk")


def _refuse(message: str) -> int:
    print(f"s2v: {' '.join(message.split())}", file=sys.stderr)
    return INPUT_ERROR


def build_parser(commands: Sequence[Command] | None = None) -> argparse.ArgumentParser:
    """The parser of these commands, of COMMANDS if none are given; `args.run` is the chosen one."""
    parser = argparse.ArgumentParser(
        prog="s2v", description="One photo and a voice become a talking face, live in a browser or as a file."
    )
    parser.add_argument("--version", action="version", version=f"s2v {__version__}")
    choice = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS if commands is None else commands:
        its_parser = choice.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        )
        command.add_options(its_parser)
        its_parser.set_defaults(run=command.run)
    return parser


def _add_generate_options(parser: argparse.ArgumentParser) -> None:
    add_face_options(parser, max_side_px=1080)
    parser.add_argument(
        "--audio", type=Path, required=True, metavar="FILE", help="the speech: any audio file, or a video's sound"
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


def _generate(args: argparse.Namespace) -> int:
    from s2v.streaming.generate import generate
    from s2v.streaming.mp4 import Encoding

    _interrupt_on(signal.SIGTERM, signal.SIGHUP)  # whatever ends us, no half-written file stays
    report = generate(
        args.face,
        args.audio,
        args.output,
        model=args.model,
        backend=args.backend,
        face_index=args.face_index,
        max_side_px=args.max_side,
        encoding=Encoding(args.crf, args.preset, args.force),
        progress=not (args.quiet or args.json),
        idle_seed=idle_seed(args),
        compose=args.compose,
    )
    if args.json:
        print(report.as_json())
    elif not args.quiet:
        print(report.as_text())
    return 0


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary; warnings and errors only")


COMMANDS = (
    *cli_live.COMMANDS,
    Command("generate", "make a video of the face saying a recording", _add_generate_options, _generate),
    *cli_compile.COMMANDS,
    *cli_bench.COMMANDS,
    *cli_doctor.COMMANDS,
    *cli_training.COMMANDS,
    *cli_evaluate.COMMANDS,
)


def _start_logging(level: int) -> None:
    logging.basicConfig(format="s2v: %(message)s", level=logging.WARNING)
    logging.getLogger("s2v").setLevel(level)


def _interrupt_on(*signals: signal.Signals) -> None:
    """Let these end the command like Ctrl-C does, with its clean-up; the exit code tells which it was."""

    def interrupt(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    for number in signals:
        signal.signal(number, interrupt)


if __name__ == "__main__":
    sys.exit(main())
