"""The command that holds a model against film: `s2v evaluate`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from s2v.commands.command import Command
from s2v.commands.options.common import positive_number, report_done
from s2v.logs import tell
from s2v.terminal import print_note, print_result

if TYPE_CHECKING:
    from s2v.training.evaluation.run import Evaluation

PROBE_FAILED = 1


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", type=Path, nargs="*", metavar="DATA",
        help="folders of talking videos kept back from training, or of their features; subfolders are sets",
    )  # fmt: skip
    parser.add_argument(
        "-m", "--model", type=Path, metavar="FILE",
        help="a model.onnx, or a checkpoint of s2v train (default: the bundled model)",
    )  # fmt: skip
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help="auto (default: tensorrt or torch-cuda on an NVIDIA GPU, else openvino or onnxruntime), one of these, "
        "torch-cpu, torch-cuda-fp32, torch-cuda-compiled; openvino computes in float32 (also: openvino-bf16)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for report, plots and contact sheets")
    parser.add_argument(
        "--faces", type=Path, metavar="DIR", help="photos of unseen people, made to say sample sentences"
    )
    parser.add_argument(
        "--words", type=Path, metavar="FILE",
        help="what is said in the clips, tab separated: clip, start_s, end_s, word (GRID's table), for the table of "
        "phone classes; a transcripts.txt (a line name|text for each clip) in their folder is found by itself",
    )  # fmt: skip
    parser.add_argument("--syncnet", type=Path, metavar="FILE", help="your SyncNet weights, for LSE-D and LSE-C")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where features are kept (default: -o, or temporary)")
    parser.add_argument("--max-clips", type=positive_number, metavar="N", help="of each set")
    parser.add_argument("--max-seconds", type=_seconds, metavar="S", help="of each clip and sound")
    parser.add_argument("-w", "--workers", type=positive_number, default=1, help="processes (default %(default)s)")
    parser.add_argument(
        "--portraits", type=Path, nargs="+", metavar="PATH",
        help="instead: draw photos at known phones, those given one by one first, then some of the folders; -o names "
        "the picture",
    )  # fmt: skip
    parser.add_argument(
        "-n",
        "--rows",
        type=positive_number,
        default=24,
        metavar="N",
        help="portraits from folders (default %(default)s)",
    )
    parser.add_argument(
        "--languages", type=Path, metavar="DIR",
        help="instead: a table of languages, a folder each with recordings and phones (s2v make-voices --languages)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _run(args: argparse.Namespace) -> int:
    from s2v.errors import DataError

    if args.portraits:
        return _draw_portraits(args)
    if args.languages:
        return _judge_languages(args)
    if not args.data:
        raise DataError(
            "give folders of talking videos that were kept back from training, or --portraits, or --languages"
        )
    from s2v.training.evaluation.run import EvaluateConfig, evaluate

    config = EvaluateConfig(
        data=tuple(args.data),
        model=args.model,
        backend=args.backend,
        cache=args.cache or (args.output / "features" if args.output else None),
        faces=args.faces,
        max_clips=args.max_clips,
        max_seconds=args.max_seconds,
        workers=args.workers,
        syncnet=args.syncnet,
        words=args.words,
    )
    return report_on(evaluate(config, progress=sys.stderr.isatty()), args.output, args.json)


def report_on(found: Evaluation, output: Path | None, as_json: bool) -> int:
    """Write and print what was found; the exit code says whether all probes passed."""
    from s2v.training.evaluation.report.report import as_dict, as_text, write_report

    if output:
        write_report(found, output)
    _print(json.dumps(as_dict(found)) if as_json else as_text(found), output is not None and not as_json)
    if found.failed:
        names = "; ".join(probe.name for probe in found.failed)
        tell(logging.WARNING, f"{len(found.failed)} of {len(found.probes)} probes failed: {names}")
        return PROBE_FAILED
    return 0


def _draw_portraits(args: argparse.Namespace) -> int:
    from s2v.errors import OutputError

    if args.output is None:
        raise OutputError("--portraits draws one picture: name it with -o FILE.jpg")
    from s2v.engine.backends import open_backend
    from s2v.training.evaluation.report.portraits import portrait_sheet
    from s2v.training.evaluation.run import model_file_of

    with model_file_of(args.model) as model:
        backend = open_backend(model, args.backend)
        try:
            drawn = portrait_sheet(args.portraits, backend, args.output, args.rows, progress=sys.stderr.isatty())
        finally:
            backend.close()
    values = {"out": str(args.output), "portraits": drawn.rows, "refused": drawn.refused}
    return report_done(args, f"{args.output}: {drawn.rows} portraits", values)


def _judge_languages(args: argparse.Namespace) -> int:
    from s2v.engine.backends import open_backend
    from s2v.training.evaluation.languages import as_dict, as_text, evaluate_languages, write_languages
    from s2v.training.evaluation.run import model_file_of

    with model_file_of(args.model) as model:
        backend = open_backend(model, args.backend)
        try:
            found = evaluate_languages(args.languages, backend, args.max_seconds)
        finally:
            backend.close()
    if args.output:
        write_languages(found, args.output)
    _print(json.dumps(as_dict(found)) if args.json else as_text(found), args.output is not None and not args.json)
    return 0 if found.probe.passed else PROBE_FAILED


def _print(text: str, written: bool) -> None:
    """Args: written: the figures are in a file too."""
    if written:
        print_note(text)
    else:
        print_result(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 3600")
    return seconds


COMMAND = Command("evaluate", "hold a model against film, in figures, probes and pictures", _add_options, _run)
