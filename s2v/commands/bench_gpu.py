"""Two benchmarks of the network: `s2v bench gpu` and `s2v bench peers`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from s2v.commands.options.bench import add_kind, number, progress_bar, several, side_px, whole

if TYPE_CHECKING:
    from s2v.benchmarks.baselines.comparison import BaselinesReport
    from s2v.benchmarks.baselines.source import BaselineSource
    from s2v.benchmarks.gpu.report import GpuReport
    from s2v.commands.options.bench import Kinds

_batch = whole("a batch", 1, 4096)


def add_gpu(what: Kinds) -> None:
    parser = add_kind(
        what,
        "gpu",
        "the network and whole frames on an NVIDIA GPU: time, memory, sessions, parity, against the roofline",
        "Runs each runtime that the GPU has, and reports for each batch size its time by CUDA events and by the clock, "
        "beside the least that the GPU's peaks allow; how far its frames are from a reference's; how many sessions at "
        "25 fps it carries with p99 under 40 ms, and what each takes of the GPU's memory.",
        measure_gpu,
        plot="gpu.plot: time against batch size, with the roofline",
    )
    add_gpu_options(parser)


def add_gpu_options(parser: argparse.ArgumentParser) -> None:
    """What `measure_gpu` reads."""
    parser.add_argument(
        "--backend",
        type=_names,
        metavar="NAME,...",
        help="torch-cuda, torch-cuda-fp32, torch-cuda-compiled, tensorrt-fp16, ... (default: all that can be opened on "
        "this GPU); a CPU backend that is named is measured by the clock alone",
    )
    parser.add_argument(
        "--batches", type=several(_batch), metavar="N,N,...", help="(default: powers of two from 1 to 256)"
    )
    frames = whole("a number of frames", 1, 1_000_000)
    parser.add_argument(
        "--frames", type=frames, default=2000, metavar="N", help="counted of each batch size (default %(default)s)"
    )
    parser.add_argument(
        "--size", type=side_px, default=512, metavar="PX", help="long side of whole frames (default %(default)s)"
    )
    parser.add_argument("--face", type=Path, metavar="PHOTO", help="of whole frames (default: a bundled one)")
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="of `s2v export` (default: the bundled one)")
    seconds = number("a number of seconds", 0.1, 60)
    parser.add_argument(
        "--session-seconds", type=seconds, default=1.0, metavar="S",
        help="counted of each trial with many sessions (default %(default)g)",
    )  # fmt: skip
    most = whole("a number of sessions", 0, 100_000)
    parser.add_argument(
        "--most", type=most, default=2048, metavar="N", help="sessions to try at most, 0 for none (default %(default)s)"
    )


def add_peers(what: Kinds) -> None:
    parser = add_kind(
        what,
        "peers",
        "a comparable network that you have a checkout of, beside ours, on one device in one run",
        "Runs both networks in turn, in one process on one device, and reports the ratio of their times. The peer's "
        "code is imported from the folder that you give, and runs with your rights: give one that you trust.",
        _measure_peers,
        plot="",
    )
    peer = parser.add_mutually_exclusive_group(required=True)
    peer.add_argument("--wav2lip", type=Path, metavar="DIR", help="a checkout of github.com/Rudrabha/Wav2Lip")
    peer.add_argument("--peer", metavar="DIR:MODULE:CLASS", help="any torch network that needs no arguments")
    peer.add_argument("--onnx", type=Path, metavar="FILE.onnx", help="an exported network, through ONNX Runtime")
    parser.add_argument("--inputs", type=_shapes, metavar="CxHxW,...", help="of one frame, for --peer: 1x80x16,6x96x96")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of the torch peer (default: random ones)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default %(default)s)")
    parser.add_argument(
        "--batches", type=several(_batch), default=(1, 16), metavar="N,N,...", help="frames in one run (default 1,16)"
    )
    runs = whole("a number of runs", 1, 100_000)
    parser.add_argument(
        "--runs", type=runs, metavar="N", help="counted of each network and batch (default: 20 on a CPU, 200 on a GPU)"
    )
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="ours (default: the bundled one)")


def measure_gpu(args: argparse.Namespace, so_far: Callable[[GpuReport], object] = lambda _: None) -> GpuReport:
    """Shows progress on stderr. Raises: S2vError, no GPU, or a backend that cannot be opened."""
    from s2v.benchmarks.gpu.backend import DEFAULT_BATCHES, GpuConfig
    from s2v.benchmarks.gpu.measure import measure, steps

    config = GpuConfig(
        backends=args.backend,
        batches=args.batches or DEFAULT_BATCHES,
        frames=args.frames,
        size_px=args.size,
        face=args.face,
        model=args.model,
        session_s=args.session_seconds,
        most_sessions=args.most,
    )
    with progress_bar(steps(config), "step") as bar:

        def tell(text: str) -> None:
            bar.set_description(text)
            bar.update(1)

        return measure(config, tell, so_far)


def _measure_peers(args: argparse.Namespace) -> BaselinesReport:
    from s2v.benchmarks.baselines.comparison import BaselinesConfig, measure

    config = BaselinesConfig(_peer(args), args.device, args.batches, args.runs, args.model)
    with progress_bar(None, "run", "in turn") as bar:
        return measure(config, bar.update)


def _peer(args: argparse.Namespace) -> BaselineSource | Path:
    from s2v.benchmarks.baselines.source import BaselineSource, wav2lip
    from s2v.errors import ModelError

    if args.peer is None and args.inputs is not None:
        raise ModelError("--inputs belongs to --peer: the other networks say themselves what they take")
    if args.onnx is not None:
        if args.weights is not None:
            raise ModelError("--weights belongs to a torch peer: an ONNX file carries its own")
        onnx: Path = args.onnx
        return onnx
    if args.wav2lip is not None:
        return wav2lip(args.wav2lip, args.weights)
    folder, module, name = [*args.peer.rsplit(":", 2), "", ""][:3]
    if not all((folder, module, name)) or args.inputs is None:
        raise ModelError("give --peer DIR:package.module:Class together with --inputs, as in 1x80x16,6x96x96")
    return BaselineSource(Path(folder), module, name, args.inputs, args.weights)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a list of backends: give names with commas between")
    return names


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    try:
        shapes = tuple(tuple(int(size) for size in part.split("x")) for part in text.split(","))
    except ValueError:
        shapes = ()
    if not shapes or not all(0 < size <= 65_536 for shape in shapes for size in shape):
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a list of shapes: give 1x80x16,6x96x96 or the like")
    return shapes
