"""The command that turns features into training shards: `s2v prepare-data`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, add_ray_option, positive_number, report_done, whole_number


def _add_options(parser: argparse.ArgumentParser) -> None:
    from s2v.training.train.defaults import CLIPS_PER_SHARD, PICTURES_PER_CLIP

    parser.add_argument("-f", "--features", type=Path, required=True, help="folder of extract-features")
    parser.add_argument(
        "-p", "--processed", dest="output", type=Path, default=Path("shards"), metavar="SHARDS",
        help="folder for the shards (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", dest="output", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument(
        "-w", "--workers", type=positive_number, metavar="N", help="processes (default 1; with --ray all there are)"
    )
    add_ray_option(parser)
    parser.add_argument("--validation", nargs="*", default=[], metavar="TALKER", help="talkers never trained on")
    parser.add_argument(
        "--pictures", type=whole_number, default=PICTURES_PER_CLIP, metavar="N", help="per clip (default %(default)s)"
    )
    parser.add_argument(
        "--shard-clips", type=positive_number, default=CLIPS_PER_SHARD, metavar="N",
        help="clips in a shard (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole_number, default=0)
    parser.add_argument("--force", action="store_true", help="replace shards that were made with other settings")
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.spec import LipSyncSpec
    from s2v.training.prepare.make_shard import PrepareSettings
    from s2v.training.prepare.prepare_data import prepare_data

    settings = PrepareSettings(
        LipSyncSpec.of("s2v"),  # the geometry of both networks
        tuple(args.validation),
        args.pictures,
        args.seed,
        args.shard_clips,
    )
    progress = sys.stderr.isatty()
    meta = prepare_data(args.features, args.output, settings, args.workers, args.force, progress, args.ray)
    counts = ", ".join(f"{count} clips {split}" for split, count in meta["clips"].items())
    skipped = f", {meta['skipped']} skipped" if meta["skipped"] else ""
    return report_done(args, f"{args.output}: {counts}{skipped}", meta["clips"] | {"skipped": meta["skipped"]})


COMMAND = Command("prepare-data", "turn features into training shards, split by talker", _add_options, _run)
