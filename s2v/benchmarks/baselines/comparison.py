"""A comparable network beside ours: in one process, on one device, run in turn, so that both meet the same machine.

Compared is the network alone, from inputs on the device to outputs on the device: no face finding, no pasting, no
encoding. The peer's code comes from the user's own checkout or ONNX file.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from s2v.benchmarks.baselines.source import Contest, Network, PeerSource, Shape
from s2v.benchmarks.report import Spread, machine, short_ms, table, versions
from s2v.benchmarks.timed_run import Lap, Run
from s2v.errors import BackendError

if TYPE_CHECKING:
    from s2v.engine.backends.model_file import ModelFile

WARM_UP = 5  # runs of each that are not counted
DEFAULT_BATCHES = (1, 16)
RUNS = {"cpu": 20, "cuda": 200}  # by device; a large batch of a large network takes seconds on a CPU


@dataclass(frozen=True)
class PeersConfig:
    peer: PeerSource | Path  # a path: an ONNX file
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batches: tuple[int, ...] = DEFAULT_BATCHES
    runs: int | None = None  # of each network, counted; None: see RUNS
    model: Path | None = None  # ours


@dataclass(frozen=True)
class Side:
    """What one of the two took in one contest."""

    name: str
    wall_ms: Spread
    gpu_ms: Spread
    frames_s: float  # by the median

    @classmethod
    def of(cls, name: str, batch: int, laps: list[Lap]) -> Side:
        wall_ms = Spread.of((lap.wall_ms for lap in laps), digits=4)
        gpu_ms = Spread.of((lap.gpu_ms for lap in laps if lap.gpu_ms is not None), digits=4)
        return cls(name, wall_ms, gpu_ms, round(1000 * batch / (gpu_ms.p50 or wall_ms.p50 or float("inf")), 1))


@dataclass(frozen=True)
class Duel:
    how: str
    batch: int
    ours: Side
    peer: Side
    ratio: float  # the peer's median time over ours: by the GPU's clock where there is one, else by the wall's
    faster: float  # share of the turns in which ours took less time


@dataclass(frozen=True)
class PeersReport:
    device: str
    ours: Network
    peer: Network
    runs: int
    duels: list[Duel]
    notes: list[str]
    machine: dict[str, str | int | float] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def as_text(self) -> str:
        rows = [
            (
                *((f"{duel.how}, batch {duel.batch}", f"{duel.ratio:.2f}") if side is duel.ours else ("", None)),
                *(side.name, *short_ms(side.wall_ms), *short_ms(side.gpu_ms), side.frames_s),
            )
            for duel in self.duels
            for side in (duel.ours, duel.peer)
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
                    for network in (self.ours, self.peer)
                ),
                f"ratio: the peer's median over ours; {self.runs} runs of each, in turn, after {WARM_UP} to warm up",
                *self.notes,
                f"on {self.device}; "
                + "; ".join(f"{name} {value}" for name, value in (self.machine | self.versions).items()),
            ]
        )


def measure(config: PeersConfig, progress: Callable[[int], object] = lambda _: None) -> PeersReport:
    """Run both in turn.

    Args: progress: told how many runs more are done, of an unknown number.
    Raises: S2vError, the peer or our model cannot be loaded, or there is no such device.
    """
    from s2v.engine.backends import bundled_model
    from s2v.engine.backends.model_file import read_model_file

    busy = machine()  # before this benchmark is a part of the load
    model = bundled_model() if config.model is None else read_model_file(config.model)
    notes = ["compared is the network alone: finding faces, warping, pasting and encoding come on top for either"]
    with _contests(config, model, notes) as (device, peer, contests):
        runs, duels = config.runs or RUNS[device.split()[0]], []
        for contest, batch in itertools.product(contests, config.batches):
            try:
                duels.append(duel(contest, batch, runs, progress))
            except BackendError as error:  # one way to run them that one of them does not allow
                notes.append(f"{contest.how}, batch {batch}: left out: {error}")
    if not duels:
        raise BackendError("; ".join(notes))
    return PeersReport(device, describe(model), peer, runs, duels, notes, busy)


def duel(contest: Contest, batch: int, runs: int, progress: Callable[[int], object] = lambda _: None) -> Duel:
    """Both in turn: first the one, then the other, and the other way round in every second turn."""
    ours, peer = contest.ours(batch), contest.peer(batch)
    laps: dict[Run, list[Lap]] = {ours: [], peer: []}
    for turn in range(WARM_UP + runs):
        for run in (ours, peer) if turn % 2 else (peer, ours):
            laps[run].append(run())
        progress(2)
    counted = [laps[run][WARM_UP:] for run in (ours, peer)]
    times = [[lap.wall_ms if lap.gpu_ms is None else lap.gpu_ms for lap in some] for some in counted]
    medians = [Spread.of(some, digits=6).p50 or float("inf") for some in times]
    faster = sum(mine < theirs for mine, theirs in zip(*times, strict=True)) / runs
    sides = [Side.of(name, batch, some) for name, some in zip(("ours", "peer"), counted, strict=True)]
    return Duel(contest.how, batch, sides[0], sides[1], round(medians[1] / medians[0], 3), round(faster, 3))


def describe(model: ModelFile) -> Network:
    """Our network, of which what belongs to the face is computed once."""
    from s2v.benchmarks.roofline import count
    from s2v.engine.backends.graphs import frame_outputs

    spec = model.spec
    frame, face = count(model.frame_graph, 1, "fp32"), count(model.face_graph, 1, "fp32")
    if spec.network == "s2v":
        draws = f"{spec.n_motion} coefficients that move the photo, and the {spec.mouth_w_px}x{spec.mouth_h_px} mouth"
    else:
        draws = f"the whole {spec.face_px}x{spec.face_px} crop of the face"
    about = (
        f"gives {draws} from {spec.n_columns} columns of MFCC; what belongs to the person is computed once a face, "
        f"with {face.multiply_adds / 1e6:.1f} million"
    )
    outputs = tuple(frame_outputs(spec).values())
    return Network("ours", about, outputs, frame.multiply_adds, frame.weight_bytes // 4)


def _shapes(outputs: tuple[Shape, ...]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in outputs)


@contextmanager
def _contests(
    config: PeersConfig, model: ModelFile, notes: list[str]
) -> Iterator[tuple[str, Network, Sequence[Contest]]]:
    """Everything opened: the device's name, the peer, and the ways to run both."""
    with ExitStack() as stack:
        if isinstance(config.peer, Path):
            from s2v.benchmarks.baselines.onnx_runs import onnx_contests

            if config.device == "cuda":
                raise BackendError("an ONNX peer is compared on the CPU, through ONNX Runtime: choose --device cpu")
            peer, contests = onnx_contests(config.peer, model, config.batches)
            device = "cpu"
        else:
            from s2v.benchmarks.baselines.checkout import peer_network
            from s2v.benchmarks.baselines.torch_runs import chosen_device, label, torch_contests

            device = chosen_device(config.device)
            network = stack.enter_context(peer_network(config.peer))
            peer, contests = stack.enter_context(torch_contests(config.peer, network, model, device, notes))
        if device == "cpu":
            contests = [*contests, *stack.enter_context(_fastest(config, contests[0], notes))]
        yield device if isinstance(config.peer, Path) else label(device), peer, contests


@contextmanager
def _fastest(config: PeersConfig, contest: Contest, notes: list[str]) -> Iterator[Sequence[Contest]]:
    """Our fastest runtime against the peer as it ran before; a row of its own, because it is not like with like."""
    from s2v.benchmarks.our_network import our_runs
    from s2v.engine.backends import open_backend

    try:
        backend = open_backend(config.model, "auto")
    except BackendError as error:
        notes.append(f"no faster runtime of ours: {error}")
        yield ()
        return
    with closing(backend):
        yield (Contest(f"ours {backend.name} / peer {contest.how}", our_runs(backend), contest.peer),)
