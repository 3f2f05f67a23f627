"""A comparable network beside ours: in one process, on one device, run in turn, so that both meet the same machine.

Compared is the network alone, from inputs on the device to outputs on the device: no face finding, no pasting, no
encoding. The baseline's code comes from the user's own checkout or ONNX file.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from s2v.benchmarks.baselines.source import BaselineSource, Network, RuntimePair, Shape
from s2v.benchmarks.report import Spread, machine, short_ms, table, versions
from s2v.benchmarks.timed_run import Run, TimedRun
from s2v.errors import BackendError

if TYPE_CHECKING:
    from s2v.engine.backends.model_file import ModelFile

WARM_UP = 5  # runs of each that are not counted
DEFAULT_BATCHES = (1, 16)
RUNS = {"cpu": 20, "cuda": 200}  # by device; a large batch of a large network takes seconds on a CPU


@dataclass(frozen=True)
class BaselinesConfig:
    baseline: BaselineSource | Path  # a path: an ONNX file
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batches: tuple[int, ...] = DEFAULT_BATCHES
    runs: int | None = None  # of each network, counted; None: see RUNS
    model: Path | None = None  # ours


@dataclass(frozen=True)
class BaselineTiming:
    """What one of the two took, run as one of a pair."""

    name: str
    wall_ms: Spread
    gpu_ms: Spread
    frames_s: float  # by the median

    @classmethod
    def of(cls, name: str, batch: int, timed_runs: list[TimedRun]) -> BaselineTiming:
        wall_ms = Spread.of((timed_run.wall_ms for timed_run in timed_runs), digits=4)
        gpu_ms = Spread.of((timed_run.gpu_ms for timed_run in timed_runs if timed_run.gpu_ms is not None), digits=4)
        return cls(name, wall_ms, gpu_ms, round(1000 * batch / (gpu_ms.p50 or wall_ms.p50 or float("inf")), 1))


@dataclass(frozen=True)
class PairedTiming:
    how: str
    batch: int
    ours: BaselineTiming
    baseline: BaselineTiming
    ratio: float  # the baseline's median time over ours: by the GPU's clock where there is one, else by the wall's
    faster: float  # share of the turns in which ours took less time


@dataclass(frozen=True)
class BaselinesReport:
    device: str
    ours: Network
    baseline: Network
    runs: int
    timings: list[PairedTiming]
    notes: list[str]
    machine: dict[str, str | int | float] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def as_text(self) -> str:
        rows = [
            (
                *(
                    (f"{timing.how}, batch {timing.batch}", f"{timing.ratio:.2f}")
                    if side is timing.ours
                    else ("", None)
                ),
                *(side.name, *short_ms(side.wall_ms), *short_ms(side.gpu_ms), side.frames_s),
            )
            for timing in self.timings
            for side in (timing.ours, timing.baseline)
        ]
        head = ("milliseconds a batch", "ratio", "network", "p50", "p95", "p99", "GPU p50", "p95", "p99", "frames/s")
        return "\n".join(
            [
                table(head, rows),
                "",
                *(
                    f"{network.name}: {network.multiply_adds / 1e6:.1f} million multiply-adds a frame, "
                    f"{_shapes(network.outputs)} out; "
                    f"{network.about}"
                    for network in (self.ours, self.baseline)
                ),
                f"ratio: the baseline's median over ours; {self.runs} runs of each, in turn, {WARM_UP} more to warm up",
                *self.notes,
                f"on {self.device}; "
                + "; ".join(f"{name} {value}" for name, value in (self.machine | self.versions).items()),
            ]
        )


def measure(config: BaselinesConfig, progress: Callable[[int], object] = lambda _: None) -> BaselinesReport:
    """Run both in turn.

    Args: progress: told how many runs more are done, of an unknown number.
    Raises: S2vError, the baseline or our model cannot be loaded, or there is no such device.
    """
    from s2v.engine.backends import bundled_model
    from s2v.engine.backends.model_file import read_model_file

    busy = machine()  # before this benchmark is a part of the load
    model = bundled_model() if config.model is None else read_model_file(config.model)
    notes = ["compared is the network alone: finding faces, warping, pasting and encoding come on top for either"]
    with _pairs(config, model, notes) as (device, baseline, pairs):
        runs, timings = config.runs or RUNS[device.split()[0]], []
        for pair, batch in itertools.product(pairs, config.batches):
            try:
                timings.append(time_in_pairs(pair, batch, runs, progress))
            except BackendError as error:  # one way to run them that one of them does not allow
                notes.append(f"{pair.how}, batch {batch}: left out: {error}")
    if not timings:
        raise BackendError("; ".join(notes))
    return BaselinesReport(device, describe(model), baseline, runs, timings, notes, busy)


def time_in_pairs(
    pair: RuntimePair, batch: int, runs: int, progress: Callable[[int], object] = lambda _: None
) -> PairedTiming:
    """Both in turn: first the one, then the other, and the other way round in every second turn."""
    ours, baseline = pair.ours(batch), pair.baseline(batch)
    timed_runs: dict[Run, list[TimedRun]] = {ours: [], baseline: []}
    for turn in range(WARM_UP + runs):
        for run in (ours, baseline) if turn % 2 else (baseline, ours):
            timed_runs[run].append(run())
        progress(2)
    counted = [timed_runs[run][WARM_UP:] for run in (ours, baseline)]
    times = [
        [timed_run.wall_ms if timed_run.gpu_ms is None else timed_run.gpu_ms for timed_run in some] for some in counted
    ]
    medians = [Spread.of(some, digits=6).p50 or float("inf") for some in times]
    faster = sum(mine < theirs for mine, theirs in zip(*times, strict=True)) / runs
    sides = [BaselineTiming.of(name, batch, some) for name, some in zip(("ours", "baseline"), counted, strict=True)]
    return PairedTiming(pair.how, batch, sides[0], sides[1], round(medians[1] / medians[0], 3), round(faster, 3))


def describe(model: ModelFile) -> Network:
    """Our network; what of it belongs to the face is computed once."""
    from s2v.benchmarks.roofline import count
    from s2v.engine.backends.graphs import frame_outputs

    spec = model.spec
    frame, outputs = count(model.frame_graph, 1, "fp32"), frame_outputs(spec)
    if spec.network == "s2v":
        gives = f"{spec.n_motion} coefficients that move the photo, and {outputs['tract'][0]} that shape the tongue"
    else:
        gives = f"the whole {spec.face_px}x{spec.face_px} crop of the face"
    about = f"gives {gives} from {spec.n_columns} columns of MFCC"
    if model.face_graph is not None:
        once = count(model.face_graph, 1, "fp32").multiply_adds
        about += f"; what belongs to the person is computed once a face, with {once / 1e6:.1f} million"
    return Network("ours", about, tuple(outputs.values()), frame.multiply_adds, frame.weight_bytes // 4)


def _shapes(outputs: tuple[Shape, ...]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in outputs)


@contextmanager
def _pairs(
    config: BaselinesConfig, model: ModelFile, notes: list[str]
) -> Iterator[tuple[str, Network, Sequence[RuntimePair]]]:
    """Everything opened: the device's name, the baseline, and the ways to run both."""
    with ExitStack() as stack:
        if isinstance(config.baseline, Path):
            from s2v.benchmarks.baselines.onnx_runs import onnx_pairs

            if config.device == "cuda":
                raise BackendError("an ONNX baseline is compared on the CPU, through ONNX Runtime: choose --device cpu")
            baseline, pairs = onnx_pairs(config.baseline, model, config.batches)
            device = "cpu"
        else:
            from s2v.benchmarks.baselines.checkout import baseline_network
            from s2v.benchmarks.baselines.torch_runs import chosen_device, label, torch_pairs

            device = chosen_device(config.device)
            network = stack.enter_context(baseline_network(config.baseline))
            baseline, pairs = stack.enter_context(torch_pairs(config.baseline, network, model, device, notes))
        if device == "cpu":
            pairs = [*pairs, *stack.enter_context(_fastest(config, pairs[0], notes))]
        yield device if isinstance(config.baseline, Path) else label(device), baseline, pairs


@contextmanager
def _fastest(config: BaselinesConfig, pair: RuntimePair, notes: list[str]) -> Iterator[Sequence[RuntimePair]]:
    """Our fastest runtime against the baseline as it ran before; a row of its own, because it is not like with like."""
    from s2v.benchmarks.our_network import our_runs
    from s2v.engine.backends import open_backend

    try:
        backend = open_backend(config.model, "auto", fastest=True)
    except BackendError as error:
        notes.append(f"no faster runtime of ours: {error}")
        yield ()
        return
    with closing(backend):
        yield (RuntimePair(f"ours {backend.name} / baseline {pair.how}", our_runs(backend), pair.baseline),)
