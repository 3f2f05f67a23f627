"""The command that measures: `s2v bench stages`, `gpu`, `peers`, `e2e`, `load`, `soak`."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from s2v.bundled import BUNDLED_FACE
from s2v.commands.bench_gpu import add_gpu, add_peers
from s2v.commands.command import Command
from s2v.commands.options.bench import add_kind, number, progress_bar, several, side_px, whole
from s2v.terminal import print_result

if TYPE_CHECKING:
    from s2v.benchmarks.live.end_to_end import EndToEndReport
    from s2v.benchmarks.live.load_report import LoadReport
    from s2v.benchmarks.live.soak_report import SoakReport
    from s2v.benchmarks.stages import StagesReport
    from s2v.commands.options.bench import Kinds

_callers = whole("a number of callers", 1, 100)


def _add_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    _add_end_to_end(what)
    _add_load(what)
    _add_soak(what)
    _add_stages(what)
    add_gpu(what)
    add_peers(what)


def _add_end_to_end(what: Kinds) -> None:
    e2e = add_kind(
        what,
        "e2e",
        "latency and audio/video skew of a real call, from click to decoded picture",
        "Rings a server of its own over WebRTC on loopback, says clicks, and reports how old voice and "
        "picture are when they are decoded, how far they lie apart, and where the time goes. With --seconds 1200 it is "
        "a soak test: the drift of the delay is reported.",
        _measure_end_to_end,
        plot="live.end_to_end_plot: delay and skew over time",
    )
    seconds = number("a number of seconds", 2, 86_400)
    e2e.add_argument(
        "--seconds", type=seconds, default=60.0, metavar="S", help="of counted clicks (default %(default)g)"
    )
    _add_served_options(e2e)
    share = number("a share", 0, 0.5)
    e2e.add_argument(
        "--loss", type=share, default=0.0, metavar="P", help="share of media packets lost, 0 to 0.5 (default 0)"
    )
    jitter = number("a number of milliseconds", 0, 500)
    e2e.add_argument(
        "--jitter-ms", type=jitter, default=0.0, metavar="MS", help="packets are delayed by up to this (default 0)"
    )


def _add_load(what: Kinds) -> None:
    load = add_kind(
        what,
        "load",
        "how many calls one server carries before frames drop, and what happens beyond",
        "More and more callers talk to one server over WebRTC on loopback; reported is what each of them "
        "gets, how old pictures are, and what it costs. The callers work on this machine too: how much they take is "
        "said. A step is carried when every caller gets 95 % of its frames, and p95 is within look-ahead + 200 ms.",
        _measure_load,
        plot="live.load_plot: pictures a second and their age against callers",
    )
    load.add_argument(
        "--sessions",
        type=several(_callers),
        metavar="N,N,...",
        help="callers of each step (default: 1, 2, ... until one fails)",
    )
    load.add_argument(
        "--most", type=_callers, default=8, metavar="N", help="without --sessions, end there (default %(default)s)"
    )
    seconds = number("a number of seconds", 2, 120)  # what came in them is kept until they are over
    load.add_argument(
        "--seconds", type=seconds, default=15.0, metavar="S", help="counted of each step (default %(default)g)"
    )
    _add_served_options(load)
    load.add_argument(
        "--max-sessions",
        type=lambda text: text if text == "auto" else _callers(text),
        metavar="N",
        help="the server's own limit, or auto as `s2v live` has it (default: no limit)",
    )


def _add_soak(what: Kinds) -> None:
    soak = add_kind(
        what,
        "soak",
        "what grows while callers come and go for long: memory, tasks, descriptors, threads, skew",
        "Callers ring a server over WebRTC on loopback, stay for 8 to 30 seconds and hang up, round after round. After "
        "each round, when nobody calls, it is counted what the server holds; reported is the slope of each quantity. "
        "Exit code 1: something grows, or a call failed.",
        _measure_soak,
        plot="",
    )
    minutes = number("a number of minutes", 0.1, 10_000)
    soak.add_argument("--minutes", type=minutes, default=30.0, metavar="M", help="(default %(default)g)")
    soak.add_argument("--callers", type=_callers, default=2, metavar="N", help="at once, at most (default %(default)s)")
    _add_served_options(soak)


def _add_stages(what: Kinds) -> None:
    stages = add_kind(
        what,
        "stages",
        "where the time of one frame goes, from samples to encoded bytes, without a network",
        "Draws and encodes real speech with the engine of `s2v live`, and reports what each stage takes of "
        "a frame's 40 ms, by the clock and in processor time. One frame is drawn right after the other unless --paced: "
        "between frames that are drawn when they are due caches grow cold, as in a call, and a frame takes longer.",
        _measure_stages,
        plot="stages_plot: the stages as bars",
    )
    frames = whole("a number of frames", 1, 100_000)
    stages.add_argument(
        "--frames", type=frames, default=300, metavar="N", help="counted, after a warm-up (default %(default)s)"
    )
    stages.add_argument("--no-idle", action="store_true", help="only the lower face moves")
    stages.add_argument("--paced", action="store_true", help="draw each frame when it is due")
    _add_served_options(stages)


def _add_served_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--face", type=Path, default=BUNDLED_FACE, metavar="PHOTO", help="(default: a bundled one)")
    parser.add_argument(
        "--size", type=side_px, default=512, metavar="PX", help="long side of the picture (default %(default)s)"
    )
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="of `s2v export` (default: the bundled one)")
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help="auto (default: tensorrt or torch-cuda on an NVIDIA GPU, else openvino or onnxruntime), one of these, "
        "torch-cpu, torch-cuda-fp32, torch-cuda-compiled; openvino in the faster precision, as in a call "
        "(openvino-f32, openvino-bf16: in that one)",
    )


def _run(args: argparse.Namespace) -> int:
    plotter = None
    if args.plot is not None:  # tell what is missing before it has measured
        plotter = import_module(f"s2v.benchmarks.{args.plotter}")
        import_module("s2v.benchmarks.plots").check_plot(args.plot)
    report = args.measure(args)
    if plotter is not None:
        plotter.plot(report, args.plot)
    print_result(report.as_json() if args.json else report.as_text())
    return 1 if getattr(report, "steady", None) is False else 0


def _measure_load(args: argparse.Namespace) -> LoadReport:
    from s2v.benchmarks.live.load import LoadConfig, measure
    from s2v.benchmarks.live.server_process import ServerUnderTest

    served = ServerUnderTest(args.face, args.size, args.model, args.backend, args.max_sessions)
    config = LoadConfig(served, args.sessions, args.most, args.seconds)
    steps = len(args.sessions) if args.sessions else args.most
    with progress_bar(steps, "step") as bar:
        return measure(config, lambda callers: bar.set_description(f"{callers} calling"), lambda: bar.update(1))


def _measure_soak(args: argparse.Namespace) -> SoakReport:
    from s2v.benchmarks.live.server_process import ServerUnderTest
    from s2v.benchmarks.live.soak import SoakConfig, measure

    config = SoakConfig(ServerUnderTest(args.face, args.size, args.model, args.backend), args.minutes, args.callers)
    with progress_bar(round(60 * args.minutes), "s", "callers come and go") as bar:
        return measure(config, lambda over_s: bar.update(round(over_s) - bar.n))


def _measure_end_to_end(args: argparse.Namespace) -> EndToEndReport:
    from s2v.benchmarks.live.end_to_end import WARM_UP_S, EndToEndConfig, measure
    from s2v.benchmarks.live.server_process import ServerUnderTest

    served = ServerUnderTest(args.face, args.size, args.model, args.backend)
    config = EndToEndConfig(served, args.seconds, args.loss, args.jitter_ms / 1000)
    with progress_bar(round(WARM_UP_S + args.seconds), "s", "listening") as bar:
        return measure(config, lambda said_s: bar.update(round(said_s) - bar.n))


def _measure_stages(args: argparse.Namespace) -> StagesReport:
    from s2v.benchmarks.stages import StagesConfig, measure, steps

    config = StagesConfig(
        args.face, args.size, args.model, args.backend, args.frames, idle=not args.no_idle, paced=args.paced
    )
    with progress_bar(steps(config), "frame", "drawing") as bar:
        return measure(config, bar.update)


COMMAND = Command("bench", "measure where the milliseconds of a call go", _add_options, _run)
