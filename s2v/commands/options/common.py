"""Options and output that several commands share: whole numbers, and a result as a line or as JSON."""

from __future__ import annotations

import argparse
import json

from s2v.terminal import print_note, print_result


def report_done(args: argparse.Namespace, text: str, values: object) -> int:
    """Tell of what has been written, as one JSON object if that was asked for; returns the exit code 0.

    Raises: OutputError, the JSON cannot be written: a program waits for it.
    """
    if args.json:
        print_result(json.dumps(values))
    else:
        print_note(text)
    return 0


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def add_ray_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ray", metavar="ADDRESS",
        help="share the work with a Ray cluster (extra 'ray'): local, auto, or HOST:PORT; its machines see the folders "
        "under the same paths",
    )  # fmt: skip


def whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def positive_number(text: str) -> int:
    if whole_number(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
