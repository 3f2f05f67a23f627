"""The command that measures: `s2v bench e2e`, `s2v bench load`, `s2v bench stages`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from s2v.cli_command import Command
from s2v.cli_face import BUNDLED_FACE

if TYPE_CHECKING:
    from s2v.benchmarks.end_to_end import EndToEndReport
    from s2v.benchmarks.load import LoadReport
    from s2v.benchmarks.stages import StagesReport

MOST_CALLERS = 100
MOST_FRAMES = 100_000


def _add_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    e2e = what.add_parser(
        "e2e",
        help="latency and audio/video skew of a real call, from click to decoded picture",
        description="Rings a server of its own over WebRTC on loopback, says clicks, and reports how old voice and "
        "picture are when they are decoded, how far they lie apart, and where the time goes. With --seconds 1200 it is "
        "a soak test: the drift of the delay is reported.",
    )
    e2e.add_argument(
        "--seconds", type=_seconds, default=60.0, metavar="S", help="of counted clicks (default %(default)g)"
    )
    _add_served_options(e2e)
    e2e.add_argument(
        "--loss", type=_share, default=0.0, metavar="P", help="share of media packets lost, 0 to 0.5 (default 0)"
    )
    e2e.add_argument(
        "--jitter-ms", type=_jitter, default=0.0, metavar="MS", help="packets are delayed by up to this (default 0)"
    )
    e2e.set_defaults(measure=_measure_end_to_end)
    load = what.add_parser(
        "load",
        help="how many calls one server carries before frames drop, and what happens beyond",
        description="More and more callers talk to one server over WebRTC on loopback; reported is what each of them "
        "gets, how old pictures are, and what it costs. The callers work on this machine too: how much they take is "
        "said. A step is carried when every caller gets 95 % of its frames, and p95 is within look-ahead + 200 ms.",
    )
    load.add_argument(
        "--sessions", type=_steps, metavar="N,N,...", help="callers of each step (default: 1, 2, ... until one fails)"
    )
    load.add_argument(
        "--most", type=_callers, default=8, metavar="N", help="without --sessions, end there (default %(default)s)"
    )
    load.add_argument(
        "--seconds", type=_step_seconds, default=15.0, metavar="S", help="counted of each step (default %(default)g)"
    )
    _add_served_options(load)
    load.add_argument(
        "--max-sessions",
        type=_limit,
        metavar="N",
        help="the server's own limit, or auto as `s2v live` has it (default: no limit)",
    )
    load.set_defaults(measure=_measure_load)
    _add_stages(what)


def _add_stages(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    stages = what.add_parser(
        "stages",
        help="where the time of one frame goes, from samples to encoded bytes, without a network",
        description="Draws and encodes real speech with the engine of `s2v live`, and reports what each stage takes of "
        "a frame's 40 ms, by the clock and in processor time. One frame is drawn right after the other unless --paced: "
        "between frames that are drawn when they are due caches grow cold, as in a call, and a frame takes longer.",
    )
    stages.add_argument(
        "--frames", type=_frames, default=300, metavar="N", help="counted, after a warm-up (default %(default)s)"
    )
    stages.add_argument("--no-idle", action="store_true", help="only the lower face moves")
    stages.add_argument("--paced", action="store_true", help="draw each frame when it is due")
    stages.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the stages as bars (needs matplotlib)")
    _add_served_options(stages)
    stages.set_defaults(measure=_measure_stages)


def _add_served_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--face", type=Path, default=BUNDLED_FACE, metavar="PHOTO", help="(default: a bundled one)")
    parser.add_argument(
        "--size", type=_side, default=512, metavar="PX", help="long side of the picture (default %(default)s)"
    )
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="of `s2v export` (default: the bundled one)")
    parser.add_argument(
        "--backend", default="auto", metavar="NAME", help="auto (default), openvino, onnxruntime, torch"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _run(args: argparse.Namespace) -> int:
    report = args.measure(args)
    print(report.as_json() if args.json else report.as_text())
    return 0


def _measure_load(args: argparse.Namespace) -> LoadReport:
    from tqdm import tqdm

    from s2v.benchmarks.load import LoadConfig, measure
    from s2v.benchmarks.served import Served

    served = Served(args.face, args.size, args.model, args.backend, args.max_sessions)
    config = LoadConfig(served, args.sessions, args.most, args.seconds)
    steps = len(args.sessions) if args.sessions else args.most
    with tqdm(total=steps, unit="step", disable=None, file=sys.stderr) as bar:
        return measure(config, lambda callers: bar.set_description(f"{callers} calling"), bar.update)


def _measure_end_to_end(args: argparse.Namespace) -> EndToEndReport:
    from tqdm import tqdm

    from s2v.benchmarks.end_to_end import WARM_UP_S, EndToEndConfig, measure
    from s2v.benchmarks.served import Served

    config = EndToEndConfig(
        Served(args.face, args.size, args.model, args.backend), args.seconds, args.loss, args.jitter_ms / 1000
    )
    total = round(WARM_UP_S + args.seconds)
    with tqdm(total=total, unit="s", desc="listening", disable=None, file=sys.stderr) as bar:
        return measure(config, lambda said_s: bar.update(round(said_s) - bar.n))


def _measure_stages(args: argparse.Namespace) -> StagesReport:
    from tqdm import tqdm

    from s2v.benchmarks.stages import StagesConfig, measure, steps

    if args.plot is not None:  # tell what is missing before it has measured
        from s2v.benchmarks.stages_plot import check_plot, plot

        check_plot(args.plot)
    config = StagesConfig(
        args.face, args.size, args.model, args.backend, args.frames, idle=not args.no_idle, paced=args.paced
    )
    with tqdm(total=steps(config), unit="frame", desc="drawing", disable=None, file=sys.stderr) as bar:
        report = measure(config, bar.update)
    if args.plot is not None:
        plot(report, args.plot)
    return report


def _seconds(text: str) -> float:
    return _number(text, "a number of seconds", 2, 86_400)


def _step_seconds(text: str) -> float:
    return _number(text, "a number of seconds", 2, 120)  # what came in them is kept until they are over


def _steps(text: str) -> tuple[int, ...]:
    return tuple(_callers(part.strip()) for part in text.split(","))


def _callers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_CALLERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of callers: give 1 to {MOST_CALLERS}")
    return int(text)


def _frames(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_FRAMES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames: give 1 to {MOST_FRAMES}")
    return int(text)


def _limit(text: str) -> int | str:
    return text if text == "auto" else _callers(text)


def _share(text: str) -> float:
    return _number(text, "a share", 0, 0.5)


def _jitter(text: str) -> float:
    return _number(text, "a number of milliseconds", 0, 500)


def _side(text: str) -> int:
    if not text.isdecimal() or not 128 <= int(text) <= 1080:
        raise argparse.ArgumentTypeError(f"{text!r} is not a long side: give a whole number from 128 to 1080")
    return int(text)


def _number(text: str, what: str, lowest: float, highest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {lowest:g} to {highest:g}")
    return value


COMMANDS = (Command("bench", "measure where the milliseconds of a call go", _add_options, _run),)
