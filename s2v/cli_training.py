"""The commands that make a model: extract-features, prepare-data, label-voices, train, export."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from s2v.cli_command import Command

PROBE_FAILED = 1  # the result is there, but does not do what it must


def _add_extract_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--data", type=Path, required=True, help="folder of talking videos, or of photos")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the feature files")
    parser.add_argument("-w", "--workers", type=_positive, default=1, help="processes (default %(default)s)")
    _add_json(parser)


def _extract(args: argparse.Namespace) -> int:
    from s2v.training.extract import extract_features

    report = extract_features(args.data, args.output, args.workers, progress=sys.stderr.isatty())
    text = f"{report.done} extracted, {report.kept_from_before} there already, {len(report.failed)} skipped"
    return _say(args, text, asdict(report))


def _add_prepare_options(parser: argparse.ArgumentParser) -> None:
    from s2v.training.defaults import PICTURES_PER_CLIP

    parser.add_argument("-f", "--features", type=Path, required=True, help="folder of extract-features")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--validation", nargs="*", default=[], metavar="SPEAKER", help="speakers never trained on")
    parser.add_argument(
        "--pictures", type=_count, default=PICTURES_PER_CLIP, metavar="N", help="per clip (default %(default)s)"
    )
    parser.add_argument("--seed", type=_count, default=0)
    _add_json(parser)


def _prepare(args: argparse.Namespace) -> int:
    from s2v.spec import LipSyncSpec
    from s2v.training.prepare import prepare_data

    clips = prepare_data(
        args.features,
        args.output,
        LipSyncSpec(),
        tuple(args.validation),
        args.pictures,
        args.seed,
        progress=sys.stderr.isatty(),
    )
    return _say(args, ", ".join(f"{count} clips {split}" for split, count in clips.items()), clips)


def _add_voices_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, default=Path("voices"), metavar="DIR", help="default %(default)s")
    parser.add_argument(
        "--texts", type=Path, nargs="+", default=[], metavar="FILE", help="sentences or name|text, besides our own"
    )
    parser.add_argument("--minutes", type=_positive, default=10, help="for each full voice (default %(default)s)")
    parser.add_argument("--seed", type=_count, default=0)
    parser.add_argument("-w", "--workers", type=_positive, default=2, help="processes (default %(default)s)")
    _add_json(parser)


def _voices(args: argparse.Namespace) -> int:
    from s2v.training.synthesis import SENTENCES, make_voices

    texts = [SENTENCES, *args.texts]
    report = make_voices(args.output, texts, args.minutes, args.seed, args.workers, progress=sys.stderr.isatty())
    text = f"{args.output}: {len(report.voices)} voices, {report.recordings} recordings, {report.minutes} min"
    if report.missing:
        text += f"; {len(report.missing)} voices more with: {'; '.join(sorted(set(report.missing.values())))}"
    return _say(args, text, asdict(report))


def _add_label_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--shards", type=Path, required=True, help="folder of prepare-data; voices are added")
    parser.add_argument(
        "--words", type=Path, required=True, metavar="TSV", help="clip, start, end, word of the talking clips"
    )
    parser.add_argument(
        "--voices", type=Path, nargs="+", required=True, metavar="DIR", help="recordings with transcripts.txt"
    )
    parser.add_argument("-w", "--workers", type=_positive, default=2, help="processes (default %(default)s)")
    parser.add_argument("--seed", type=_count, default=0)
    _add_json(parser)


def _label(args: argparse.Namespace) -> int:
    from s2v.training.voices import label_voices

    report = label_voices(args.shards, args.words, args.voices, args.workers, seed=args.seed)
    text = f"{report.voices_aligned} recordings ({report.voice_minutes} min) labelled, bridge {report.bridge_held}"
    return _say(args, text, asdict(report))


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    from s2v.training import defaults as usual

    def setting(*names: str, help: str, **how: Any) -> None:  # left out, it comes from --config
        parser.add_argument(*names, default=argparse.SUPPRESS, help=help, **how)

    parser.add_argument("-i", "--shards", type=Path, required=True, help="folder of prepare-data")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/last"), help="folder for checkpoints")
    parser.add_argument("--config", type=Path, metavar="TOML", help="file of the settings below; options win over it")
    setting("--model", dest="network", choices=("s2v", "speech2vid"), help="which network (default s2v)")
    setting("--part", dest="parts", nargs="+", help="train only these parts: motion, mouth")
    setting("-b", "--batch", type=_positive, help=f"pictures at once (default {usual.BATCH})")
    setting("-e", "--epochs", type=_positive, help=f"default {usual.EPOCHS}")
    setting("-se", "--save-every", dest="save_every_steps", type=_positive, metavar="STEPS",
            help=f"default {usual.SAVE_EVERY_STEPS}")  # fmt: skip
    setting("--look-ahead-ms", type=_count, help=f"how far a window reaches past its frame ({usual.LOOK_AHEAD_MS})")
    setting("--seed", type=_count, help="default 0")
    parser.add_argument("-gpu", "--gpu", type=_count, default=None, metavar="N", help="CUDA device (default: the CPU)")
    parser.add_argument("--resume", type=Path, nargs="+", default=[], metavar="CKPT", help="go on from these")
    _add_json(parser)


def _train(args: argparse.Namespace) -> int:
    from s2v.training.config import TrainConfig, read_config
    from s2v.training.train import failed_probes, train

    settings = read_config(args.config) if args.config else {}
    given = {name: getattr(args, name) for name in ("network", "parts", "batch", "epochs", "save_every_steps", "seed")
             if name in args}  # fmt: skip
    if "look_ahead_ms" in args:
        given["look_ahead_s"] = args.look_ahead_ms / 1000
    if "parts" in given:
        given["parts"] = tuple(given["parts"])
    paths = {"shards": args.shards, "out": args.output, "resume": tuple(args.resume)}
    config = TrainConfig(**(settings | given | paths), gpu=args.gpu)
    checkpoint = train(config, progress=sys.stderr.isatty())
    failed = failed_probes(checkpoint)
    _say(
        args,
        f"{checkpoint}: s2v export {checkpoint} -o model.onnx makes it a model",
        {"out": str(checkpoint), "failed_probes": failed},
    )
    if failed:
        print(f"s2v: {checkpoint} is kept, but fails {len(failed)} probes: {'; '.join(failed)}", file=sys.stderr)
        return PROBE_FAILED
    return 0


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CKPT", help="of s2v train")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--licence", default="", help="of the weights, for the metadata")
    parser.add_argument("--data", default="", help="what it was trained on, with attribution, for the metadata")
    _add_json(parser)


def _export(args: argparse.Namespace) -> int:
    from s2v.training.export import export_model

    info = {key: text for key, text in (("licence", args.licence), ("train", args.data)) if text}
    report = export_model(args.checkpoints, args.output, info)
    text = (
        f"{report.path}: {report.n_bytes / 1e6:.1f} MB, {report.n_parameters / 1e6:.2f} M weights, "
        f"differs from torch by at most {report.max_difference:.1g}"
    )
    return _say(args, text, {**asdict(report), "path": str(report.path)})


def _say(args: argparse.Namespace, text: str, values: object) -> int:
    print(json.dumps(values) if args.json else text)
    return 0


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _positive(text: str) -> int:
    if _count(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


COMMANDS = (
    Command("extract-features", "find faces and sound in talking videos", _add_extract_options, _extract),
    Command("prepare-data", "turn features into training shards, split by speaker", _add_prepare_options, _prepare),
    Command("make-voices", "synthesise voices to train on, by the engines installed", _add_voices_options, _voices),
    Command("label-voices", "teach recordings without a face to the shards", _add_label_options, _label),
    Command("train", "train a network", _add_train_options, _train),
    Command("export", "turn a checkpoint into a model file", _add_export_options, _export),
)
