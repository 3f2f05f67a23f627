"""The command that trains a network: `s2v train`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, positive_number, report_done, whole_number
from s2v.logs import tell

PROBE_FAILED = 1  # the result is there, but does not do what it must


def _add_options(parser: argparse.ArgumentParser) -> None:
    from s2v.training.train import defaults as usual

    def setting(*names: str, help: str, **how: Any) -> None:  # left out, it comes from --config
        parser.add_argument(*names, default=argparse.SUPPRESS, help=help, **how)

    parser.add_argument("-i", "--shards", type=Path, required=True, help="folder of prepare-data")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/last"), help="folder for checkpoints")
    parser.add_argument("--config", type=Path, metavar="TOML", help="file of the settings below; options win over it")
    setting("--model", dest="network", choices=("s2v", "speech2vid"), help="which network (default s2v)")
    setting("-b", "--batch", type=positive_number, help=f"pictures at once (default {usual.BATCH})")
    setting("-e", "--epochs", type=positive_number, help=f"default {usual.EPOCHS}")
    setting("-se", "--save-every", dest="save_every_steps", type=positive_number, metavar="STEPS",
            help=f"default {usual.SAVE_EVERY_STEPS}")  # fmt: skip
    setting(
        "--look-ahead-ms", type=whole_number, help=f"how far a window reaches past its frame ({usual.LOOK_AHEAD_MS})"
    )
    setting("--seed", type=whole_number, help="default 0")
    parser.add_argument(
        "-gpu", "--gpu", type=whole_number, default=None, metavar="N", help="CUDA device (default: the CPU)"
    )
    parser.add_argument("--resume", type=Path, metavar="CKPT", help="go on from this one")
    parser.add_argument(
        "--start", type=Path, metavar="FILE", help="begin with the weights of this checkpoint or model file"
    )
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.training.train.config import TrainConfig, read_config
    from s2v.training.train.loop import failed_probes, train

    settings = read_config(args.config) if args.config else {}
    given = {name: getattr(args, name) for name in ("network", "batch", "epochs", "save_every_steps", "seed")
             if name in args}  # fmt: skip
    if "look_ahead_ms" in args:
        given["look_ahead_s"] = args.look_ahead_ms / 1000
    paths = {"shards": args.shards, "out": args.output, "resume": args.resume, "start": args.start}
    config = TrainConfig(**(settings | given | paths), gpu=args.gpu)
    checkpoint = train(config, progress=sys.stderr.isatty())
    failed = failed_probes(checkpoint)
    report_done(
        args,
        f"{checkpoint}: s2v export {checkpoint} -o model.onnx makes it a model",
        {"out": str(checkpoint), "failed_probes": failed},
    )
    if failed:
        tell(logging.WARNING, f"{checkpoint} is kept, but fails {len(failed)} probes: {'; '.join(failed)}")
        return PROBE_FAILED
    return 0


COMMAND = Command("train", "train a network", _add_options, _run)
