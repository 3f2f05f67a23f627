"""The command that finds faces and sound in talking videos: `s2v extract-features`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, positive_number, report_done


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--data", type=Path, required=True, help="folder of talking videos, or of photos")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the feature files")
    parser.add_argument("-w", "--workers", type=positive_number, default=1, help="processes (default %(default)s)")
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.training.extract.extract_features import extract_features

    report = extract_features(args.data, args.output, args.workers, progress=sys.stderr.isatty())
    text = f"{report.done} extracted, {report.kept_from_before} there already, {len(report.failed)} skipped"
    return report_done(args, text, asdict(report))


COMMAND = Command("extract-features", "find faces and sound in talking videos", _add_options, _run)
