"""The command that prepares a model for an NVIDIA GPU: `s2v compile`."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2v.commands.command import Command
from s2v.commands.options.common import report_done
from s2v.errors import BackendError

if TYPE_CHECKING:
    from s2v.engine.backends.tensorrt.build import Progress
    from s2v.engine.backends.tensorrt.compile import Compiled
    from s2v.engine.backends.tensorrt.cuda import Device

NO_INT8 = (
    "int8 is not built: a frame's 50 million multiply-adds are not what a GPU spends its time on "
    "(`s2v bench gpu` shows the roofline): use --precision fp16"
)
_ARCHITECTURE = re.compile(r"sm_[1-9][0-9]{1,2}")

_log = logging.getLogger("s2v")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, nargs="?", metavar="MODEL.onnx", help="of `s2v export` (default: the bundled one)"
    )
    parser.add_argument(
        "--precision", choices=("fp16", "fp32", "int8"), default="fp16", help="of the arithmetic (default %(default)s)"
    )
    parser.add_argument(
        "--max-batch", type=_batch, default=16, metavar="N",
        help="frames of as many sessions in one run, at most (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--runtime", choices=("auto", "tensorrt", "tensorrt_rtx"), default="auto",
        help="auto: tensorrt, or tensorrt_rtx where that is missing or there is no GPU",
    )  # fmt: skip
    parser.add_argument(
        "--gpu", type=_architectures, default=(), metavar="sm_89,...",
        help="architectures to build for, with tensorrt_rtx (auto: this machine's GPU, or all usual ones)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR",
        help="folder for the engine and its JSON (default: the cache that `--backend tensorrt` reads)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="build again even if there is such an engine")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from s2v.engine.backends import bundled_model
    from s2v.engine.backends.model_file import read_model_file
    from s2v.engine.backends.tensorrt.build import BuildOptions
    from s2v.engine.backends.tensorrt.compile import compile_model
    from s2v.engine.backends.tensorrt.engine_cache import EngineCache
    from s2v.engine.backends.tensorrt.module import load_tensorrt

    if args.precision == "int8":
        raise BackendError(NO_INT8)
    model = bundled_model() if args.model is None else read_model_file(args.model)
    device = _gpu()
    tensorrt = load_tensorrt(args.runtime, has_gpu=device is not None and not args.gpu)
    options = BuildOptions(args.precision, args.max_batch, args.gpu)
    with tqdm(unit="step", desc="building", disable=None, file=sys.stderr, leave=False) as bar:
        compiled = compile_model(model, tensorrt, device, options, EngineCache(args.output), _shown_on(bar), args.force)
    return report_done(args, _as_text(compiled), compiled.as_dict())


def _gpu() -> Device | None:
    """This machine's GPU; None if there is none that can be used, and the log says why."""
    from s2v.engine.backends.tensorrt.cuda import CudaDevice

    try:
        return CudaDevice()
    except BackendError as error:
        _log.info("%s", error)
        return None


def _shown_on(bar: Any) -> Progress:
    """One bar for all phases, which follow each other and lie inside each other: of each, its own steps."""

    def show(what: str, done: int, steps: int) -> None:
        if not bar.disable:
            bar.total, bar.n = steps, done
            bar.set_description_str(what, refresh=True)

    return show


def _as_text(compiled: Compiled) -> str:
    key = compiled.key
    made = "found" if compiled.reused else f"built in {compiled.seconds:.1f} s"
    lines = [
        f"{compiled.engine}: {made}, {compiled.n_bytes / 1e6:.1f} MB, {key.runtime} {key.version}, {key.precision}, "
        f"batches of 1 to {key.max_batch}, for {key.target}"
    ]
    if compiled.parity is None:
        lines.append("parity not checked: no GPU here that runs it; it is checked when it is first opened on one")
    else:
        from s2v.engine.backends.parity import Parity

        lines.append(f"parity with ONNX Runtime: {Parity(**compiled.parity).as_text()}")
    return "\n".join(lines)


def _batch(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a batch: give a whole number from 1 to 256")
    return int(text)


def _architectures(text: str) -> tuple[str, ...]:
    names = () if text == "auto" else tuple(part.strip() for part in text.split(","))
    if wrong := [name for name in names if not _ARCHITECTURE.fullmatch(name)]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not an architecture: give auto, or sm_89 and the like")
    return names


COMMAND = Command("compile", "build a TensorRT engine of a model, for NVIDIA GPUs", _add_options, _run)
