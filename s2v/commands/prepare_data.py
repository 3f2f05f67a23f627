"""The command that turns features into training shards: `s2v prepare-data`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, report_done, whole_number


def _add_options(parser: argparse.ArgumentParser) -> None:
    from s2v.training.train.defaults import PICTURES_PER_CLIP

    parser.add_argument("-f", "--features", type=Path, required=True, help="folder of extract-features")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--validation", nargs="*", default=[], metavar="SPEAKER", help="speakers never trained on")
    parser.add_argument(
        "--pictures", type=whole_number, default=PICTURES_PER_CLIP, metavar="N", help="per clip (default %(default)s)"
    )
    parser.add_argument("--seed", type=whole_number, default=0)
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.spec import LipSyncSpec
    from s2v.training.prepare.prepare_data import prepare_data

    clips = prepare_data(
        args.features,
        args.output,
        LipSyncSpec.of("s2v"),  # the geometry of both networks
        tuple(args.validation),
        args.pictures,
        args.seed,
        progress=sys.stderr.isatty(),
    )
    return report_done(args, ", ".join(f"{count} clips {split}" for split, count in clips.items()), clips)


COMMAND = Command("prepare-data", "turn features into training shards, split by speaker", _add_options, _run)
