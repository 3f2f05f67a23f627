"""The command that synthesises voices to train on: `s2v make-voices`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, positive_number, report_done, whole_number


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, default=Path("voices"), metavar="DIR", help="default %(default)s")
    parser.add_argument(
        "--texts", type=Path, nargs="+", default=[], metavar="FILE", help="sentences or name|text, besides our own"
    )
    parser.add_argument("--minutes", type=positive_number, default=10, help="for each full voice (default %(default)s)")
    parser.add_argument(
        "--languages", action="store_true",
        help="instead: a folder for each of seven languages, by voices kept back, for s2v evaluate --languages",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole_number, default=0)
    parser.add_argument("-w", "--workers", type=positive_number, default=2, help="processes (default %(default)s)")
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.training.voices.make_voices import LANGUAGES, SENTENCES, make_voices

    own, table = (LANGUAGES / "en.txt", "languages") if args.languages else (SENTENCES, "voices")
    report = make_voices(
        args.output,
        [own, *args.texts],
        args.minutes,
        args.seed,
        args.workers,
        progress=sys.stderr.isatty(),
        table=table,
    )
    text = f"{args.output}: {len(report.voices)} voices, {report.recordings} recordings, {report.minutes} min"
    if report.missing:
        text += f"; {len(report.missing)} voices more with: {'; '.join(sorted(set(report.missing.values())))}"
    return report_done(args, text, asdict(report))


COMMAND = Command("make-voices", "synthesise voices to train on, by the engines installed", _add_options, _run)
