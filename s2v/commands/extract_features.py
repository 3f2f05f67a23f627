"""The command that finds faces and sound in talking videos: `s2v extract-features`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, positive_number, report_done

_OUTPUT = Path("features")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-d", "--data", type=Path, required=True, help="folder of talking videos, or of photos; LRS2 as it is laid out"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=_OUTPUT, help="folder for the feature files (default ./%(default)s)"
    )
    parser.add_argument("-w", "--workers", type=positive_number, default=1, help="processes (default %(default)s)")
    parser.add_argument(
        "--talkers",
        default="auto",
        metavar="HOW",
        help="who is who: 'folder', by the first folder below DATA, or a file: a clip or folder, a tab, a talker "
        "a line (default: by folder)",
    )
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.training.extract.extract_features import extract_features

    report = extract_features(args.data, args.output, args.workers, progress=sys.stderr.isatty(), talkers=args.talkers)
    text = (
        f"{report.done} extracted, {report.kept_from_before} there already, {len(report.failed)} skipped; "
        f"{report.talkers} talkers; features in {args.output}"
    )
    return report_done(args, text, asdict(report) | {"features": str(args.output)})


COMMAND = Command("extract-features", "find faces and sound in talking videos", _add_options, _run)
