"""The `s2v` command: parse, call one library function, return an exit code.

A command is one entry of COMMANDS: a function that adds its options and one that runs it and imports
what it needs, so that `s2v --help` loads nothing. Exit codes: 0 done, 2 the input or the machine is
wrong (one line on stderr), 128 + n ended by signal n (130: Ctrl-C).
"""

from __future__ import annotations

import argparse
import logging
import math
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn, get_args

from s2v import interrupts, logs, terminal
from s2v.commands import (
    bench,
    doctor,
    evaluate,
    export,
    extract_features,
    generate,
    label_voices,
    live,
    make_voices,
    predict,
    prepare_data,
    train,
)
from s2v.commands import (
    compile as compile_command,
)
from s2v.commands.command import Command
from s2v.errors import S2vError
from s2v.loading import loading_failure
from s2v.version import __version__

INPUT_ERROR = 2  # argparse's own too
SIGPIPE = 13  # POSIX; Windows has no such signal


def main(argv: Sequence[str] | None = None, commands: Sequence[Command] | None = None) -> int:
    """Run one command; returns the process's exit code. A traceback is a bug of ours.

    Args: argv: None is what the process was started with, which is then the command's own: its streams and signals too.
    """
    if argv is None:
        terminal.guard_streams()
        interrupts.watch()
    try:
        with interrupts.working():
            code = _run(argv, commands)
    except BaseException as error:
        if interrupts.asked() and not isinstance(error, SystemExit):  # whatever a library has made of it
            return 128 + interrupts.asked()
        raise
    return code


def _run(argv: Sequence[str] | None, commands: Sequence[Command] | None) -> int:
    try:
        try:
            args = build_parser(commands).parse_args(argv)
            level = logging.WARNING if getattr(args, "quiet", False) else logging.INFO
            logs.start_logging(logs.LogSettings(level, args.log_format, getattr(args, "log_burst", math.inf)))
            code: int = args.run(args)
            return code
        finally:
            if sys.stdout is not None:
                terminal.flush()
    except S2vError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return 128 + (interrupts.asked() or signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has left, as in `s2v ... | head`
        terminal.reader_has_left()
        return 128 + SIGPIPE
    except Exception as error:
        if (said := _of_the_machine(error)) is None:
            raise
        return _refuse(said)


def _of_the_machine(error: Exception) -> str | None:
    """What is wrong with this machine, if that is it: a library, a folder that may not be written, a full disk."""
    if isinstance(error, ImportError) and (error.name or "").startswith("s2v"):
        return None
    if (failure := loading_failure(error)) is not None:
        return ": ".join(failure)
    if isinstance(error, OSError) and error.strerror is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}: check the path, its permissions and the space on its disk"
    return None


def _refuse(message: str) -> int:
    logs.tell(logging.ERROR, message)
    return INPUT_ERROR


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, like everything else."""

    def error(self, message: str) -> NoReturn:
        raise SystemExit(_refuse(f"{message}: see {self.prog} --help"))

    def _print_message(self, message: str, file: object = None) -> None:
        """Help and version are what was asked for; argparse itself does not tell when they could not be written."""
        terminal.print_result(message.rstrip("\n"))


def build_parser(commands: Sequence[Command] | None = None) -> argparse.ArgumentParser:
    """The parser of these commands, of COMMANDS if none are given; `args.run` is the chosen one."""
    parser = _Parser(
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
        styles = get_args(logs.Style)
        its_parser.add_argument("--log-format", choices=styles, default="text", help="of stderr (default %(default)s)")
        its_parser.set_defaults(run=command.run)
    return parser


COMMANDS = tuple(
    module.COMMAND
    for module in (
        live,
        generate,
        predict,
        compile_command,
        bench,
        doctor,
        extract_features,
        prepare_data,
        make_voices,
        label_voices,
        train,
        export,
        evaluate,
    )
)


if __name__ == "__main__":
    sys.exit(main())
