"""The command that trains a network: `s2v train`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, positive_number, report_done, whole_number
from s2v.errors import DataError
from s2v.logs import tell

PROBE_FAILED = 1  # with --strict: the result is there, but does not do what it must
_NEWEST = Path()  # of --resume without a value

# Typed names -> fields of TrainConfig; the others have the same name.
_SETTINGS = (
    *("network", "batch_size", "steps_per_epoch", "epochs", "no_of_workers", "save_every_steps", "learning_rate"),
    *("warmup_steps", "gradient_clip", "ema", "early_stopping", "precision", "tensorboard", "seed"),
)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-i", "--shards", metavar="SHARDS",
        help="folder of prepare-data, its URL, or a pattern of shards: https://host/train-{000000..000099}.tar",
    )  # fmt: skip
    parser.add_argument(
        "--face-video", type=Path, action="append", default=[], metavar="FILM",
        help="a minute or more of one person talking, or a folder of such films (may be given several times): makes "
        "OUT/model.onnx of that person, on a CPU, in minutes; begins with --init",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("runs/last"), help="folder for checkpoints (default %(default)s)"
    )
    parser.add_argument("--resume", type=Path, nargs="?", const=_NEWEST, metavar="CKPT",
                        help="go on with the training of this checkpoint (default: last.pt of --output), "
                        "with its settings")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace the training that is in --output")
    parser.add_argument("--init", "--start", type=Path, metavar="FILE|default", help="begin with the weights "
                        "of this checkpoint, safetensors or model file, or the shipped ones (else random)")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="TOML", help="file of settings; options win over it")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a probe fails (else a warning)")
    parser.add_argument("-gpu", "--no_of_gpus", "--no-of-gpus", "--gpus", dest="no_of_gpus", type=whole_number,
                        metavar="N", help="a process for each (default: all there are; 0: the CPU)")  # fmt: skip
    _add_settings(parser)
    add_json_option(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    from s2v.training.train import defaults as usual

    def setting(*names: str, help: str, **how: Any) -> None:  # left out, it comes from --config or the checkpoint
        parser.add_argument(*names, default=argparse.SUPPRESS, help=help, **how)

    setting("--model", dest="network", choices=("s2v", "speech2vid"), help="which network (default s2v)")
    setting("-b", "--batch_size", "--batch-size", "--batch", dest="batch_size", type=positive_number, metavar="N",
            help="samples at once, of all processes together: pictures, or stretches of 1.5 s of speech "
            f"(default {usual.BATCH_SIZE})")  # fmt: skip
    setting("-se", "--steps_per_epoch", "--steps-per-epoch", dest="steps_per_epoch", type=positive_number, metavar="N",
            help=f"batches in an epoch (default {usual.STEPS_PER_EPOCH})")  # fmt: skip
    setting("-e", "--epochs", type=positive_number, metavar="N", help=f"default {usual.EPOCHS}")
    setting("-w", "--no_of_workers", "--no-of-workers", "--workers", dest="no_of_workers", type=whole_number,
            metavar="N", help="processes that make batches, for each that trains (default "
            f"{usual.WORKERS}; 0: the training itself)")  # fmt: skip
    setting("--save-every", "--save_every", dest="save_every_steps", type=positive_number, metavar="STEPS",
            help=f"last.pt between epochs (default {usual.SAVE_EVERY_STEPS})")  # fmt: skip
    setting("--learning-rate", "--lr", dest="learning_rate", type=float, metavar="RATE",
            help=f"at its highest (default {usual.LEARNING_RATE:g})")  # fmt: skip
    setting("--warmup-steps", type=whole_number, metavar="N",
            help=f"until it is that high, then down along a cosine (default {usual.WARMUP_STEPS})")  # fmt: skip
    setting("--gradient-clip", type=float, metavar="NORM",
            help=f"longest gradient (default {usual.GRADIENT_CLIP:g}; 0: any)")  # fmt: skip
    setting("--precision", choices=("bf16", "fp16", "fp32"),
            help="arithmetic (default: bf16 where the hardware has it, else fp32)")  # fmt: skip
    setting("--ema", nargs="?", const=usual.EMA, type=float, metavar="DECAY",
            help=f"judge and keep a moving average of the weights (decay {usual.EMA:g} if none is given)")  # fmt: skip
    setting("--early-stopping", type=positive_number, metavar="N",
            help="end after N epochs without a better score on validation talkers")  # fmt: skip
    setting("--look-ahead-ms", type=whole_number, metavar="MS", help="how far a window reaches past its frame "
            f"(default {usual.LOOK_AHEAD_MS['s2v']}; speech2vid {usual.LOOK_AHEAD_MS['speech2vid']})")  # fmt: skip
    setting("--no-tensorboard", dest="tensorboard", action="store_false", help="no OUT/tensorboard")
    setting("--seed", type=whole_number, help="default 0")


def _run(args: argparse.Namespace) -> int:
    if args.face_video:
        return _adapt(args)
    if args.shards is None:
        raise DataError("nothing to learn from: give -i SHARDS of prepare-data, or --face-video FILM of one person")
    return _train(args)


def _adapt(args: argparse.Namespace) -> int:
    """Raises: DataError, options that only a training on shards has."""
    from s2v.training.adapt.adapt import AdaptConfig, adapt
    from s2v.training.adapt.fit_motion import MotionFit
    from s2v.training.train.start import DEFAULT

    odd = [name for name in ("shards", "resume", "config", "no_of_gpus") if getattr(args, name) is not None]
    odd += [name for name in (*_SETTINGS, "look_ahead_ms") if name in args and name not in ("seed", "no_of_workers")]
    odd += ["strict"] if args.strict else []
    if odd:
        raise DataError(
            f"--face-video does not go with {', '.join(odd)}: it learns from the films alone, by settings of its own"
        )
    init = None if args.init is None or str(args.init) == DEFAULT else args.init
    workers, fit = max(1, getattr(args, "no_of_workers", 1)), MotionFit(seed=getattr(args, "seed", 0))
    config = AdaptConfig(tuple(args.face_video), args.output, init, workers, args.force, fit)
    report = adapt(config, progress=sys.stderr.isatty())
    return report_done(args, report.text(), report.as_dict())


def _train(args: argparse.Namespace) -> int:
    from s2v.training.run.processes import is_first_process
    from s2v.training.train.config import TrainConfig, read_config
    from s2v.training.train.loop import failed_probes, settings_to_resume, train

    resume = args.output / "last.pt" if args.resume == _NEWEST else args.resume
    settings = settings_to_resume(resume) if resume else {}
    settings |= read_config(args.config) if args.config else {}
    settings |= {name: getattr(args, name) for name in _SETTINGS if name in args}
    if "look_ahead_ms" in args:
        settings["look_ahead_s"] = args.look_ahead_ms / 1000
    paths = {"shards": args.shards, "out": args.output, "resume": resume, "init": args.init}
    config = TrainConfig(**settings, **paths, force=args.force, no_of_gpus=args.no_of_gpus)
    checkpoint = train(config, progress=sys.stderr.isatty())
    if not is_first_process():  # of torchrun's
        return 0
    failed = failed_probes(checkpoint)
    report_done(
        args,
        f"{checkpoint}: s2v export {checkpoint} -o model.onnx makes it a model",
        {"out": str(checkpoint), "failed_probes": failed},
    )
    if failed:
        tell(logging.WARNING, f"{checkpoint} is kept, but fails {len(failed)} probes: {'; '.join(failed)}")
    return PROBE_FAILED if failed and args.strict else 0


COMMAND = Command("train", "train a network", _add_options, _run)
