"""The command that adds recordings without a face to the shards: `s2v label-voices`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, positive_number, report_done, whole_number


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--shards", type=Path, required=True, help="folder of prepare-data; voices are added")
    parser.add_argument(
        "--words", type=Path, required=True, metavar="TSV", help="clip, start, end, word of the talking clips"
    )
    parser.add_argument(
        "--voices", type=Path, nargs="+", required=True, metavar="DIR", help="recordings with transcripts.txt"
    )
    parser.add_argument("-w", "--workers", type=positive_number, default=2, help="processes (default %(default)s)")
    parser.add_argument("--seed", type=whole_number, default=0)
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.training.voices.label_voices import label_voices

    report = label_voices(args.shards, args.words, args.voices, args.workers, seed=args.seed)
    text = f"{report.voices_aligned} recordings ({report.voice_minutes} min) labelled, bridge {report.bridge_held}"
    return report_done(args, text, asdict(report))


COMMAND = Command("label-voices", "label recordings without a face and add them to the shards", _add_options, _run)
