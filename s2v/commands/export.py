"""The command that turns a checkpoint into a model file: `s2v export`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from s2v.commands.command import Command
from s2v.commands.options.common import add_json_option, report_done


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="of s2v train")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--licence", default="", help="of the weights, for the metadata")
    parser.add_argument("--data", default="", help="what it was trained on, with attribution, for the metadata")
    add_json_option(parser)


def _run(args: argparse.Namespace) -> int:
    from s2v.training.export.export import export_model

    info = {key: text for key, text in (("licence", args.licence), ("train", args.data)) if text}
    report = export_model(args.checkpoint, args.output, info)
    text = (
        f"{report.path}: {report.n_bytes / 1e6:.1f} MB, {report.n_parameters / 1e6:.2f} M weights, "
        f"differs from torch by at most {report.max_difference:.1g}"
    )
    return report_done(args, text, {**asdict(report), "path": str(report.path)})


COMMAND = Command("export", "turn a checkpoint into a model file", _add_options, _run)
