"""The command that finds faces and sound in talking videos: `s2v extract-features`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, add_ray_option, positive_number, report_done

_OUTPUT = Path("features")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-d", "--data", type=Path, required=True, help="folder of talking videos, or of photos; LRS2 as it is laid out"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=_OUTPUT, help="folder for the feature files (default ./%(default)s)"
    )
    parser.add_argument(
        "-w", "--workers", type=positive_number, metavar="N", help="processes (default 1; with --ray all there are)"
    )
    add_ray_option(parser)
    parser.add_argument(
        "--talkers",
        default="auto",
        metavar="HOW",
        help="who is who: 'folder', the first below DATA; 'cluster', by the shape of their faces; or a file, a line "
        "being a clip or folder, a tab, a talker (default: by faces in LRS2 and LRS3, else by folder)",
    )
    parser.add_argument(
        "--retry", action="store_true", help="look again also at the clips that an earlier run had to skip"
    )
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.training.extract.extract_features import extract_features
    from s2v.training.quality.card import card_text
    from s2v.training.quality.clip_records import REPORT_NAME
    from s2v.training.quality.data_report import CARD_PICTURE

    report = extract_features(
        args.data,
        args.output,
        args.workers,
        progress=sys.stderr.isatty(),
        talkers=args.talkers,
        retry=args.retry,
        ray=args.ray,
    )
    before = f" ({report.failed_before} as before, --retry looks again)" if report.failed_before else ""
    text = (
        f"{report.done} extracted, {report.kept_from_before} there already, {len(report.failed)} skipped{before}; "
        f"{report.talkers} talkers by {report.talkers_by}; features in {args.output}"
    )
    if report.card is not None:
        written = [path for name in (REPORT_NAME, CARD_PICTURE) if (path := args.output / name).exists()]
        text += f"\n{card_text(report.card)}\nmore in {' and '.join(map(str, written))}"
    return report_done(args, text, asdict(report) | {"features": str(args.output)})


COMMAND = Command("extract-features", "find faces and sound in talking videos", _add_options, _run)
