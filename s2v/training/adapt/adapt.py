"""From a minute or two of film of one person to a model of that person: `s2v train --face-video`.

features/   what `extract-features` made of the films, with its report: kept, and gone on with by the next run
model.onnx  the model; `mouth` in its metadata is what lies between the person's lips
adapt.json  what the shipped model and this one do on the seconds of film that were held back
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2v.bundled import BUNDLED_WEIGHTS
from s2v.engine.face.mouth_look import INFO_KEY
from s2v.errors import DataError, OutputError
from s2v.files import held as held_alone
from s2v.files import remove_leftovers, write_whole
from s2v.training.adapt.films import extract_films
from s2v.training.adapt.fit_motion import Chosen, MotionFit, adapt_motion
from s2v.training.adapt.mouth_interior import MOUTH_FRAMES, MouthFit, fit_mouth
from s2v.training.adapt.stretches import Stretches, stretches
from s2v.training.export.export import export_network
from s2v.training.networks.model import MotionTract, load_checkpoint
from s2v.training.networks.weights_file import SUFFIX, network_of_weights, read_info
from s2v.version import __version__

MODEL, FIGURES, FEATURES = "model.onnx", "adapt.json", "features"
_FIGURES = ("aperture", "width", "aperture_sd", "width_sd", "speed", "closed", "shut", "silence_motion")
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class AdaptConfig:
    """What `s2v train --face-video` was asked for."""

    films: tuple[Path, ...]  # and folders of films, of one person
    out: Path
    init: Path | None = None  # a file of weights or a checkpoint of network "s2v"; None: the shipped weights
    workers: int = 1
    force: bool = False  # replace the model that is in `out`
    motion: MotionFit = field(default_factory=MotionFit)
    mouth_frames: int = MOUTH_FRAMES  # of open mouths, that what lies between lips is learned from


@dataclass(frozen=True)
class AdaptReport:
    """What came of it."""

    model: Path
    learned_s: float
    held_s: float
    speech_s: float
    skipped: dict[str, str]
    before: Chosen  # the model that was begun with, on the seconds held back
    after: Chosen
    mouth: MouthFit

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        mouth: dict[str, Any] = {"open_frames": self.mouth.n_frames}
        if self.mouth.look is not None:
            mouth |= {"off_before": round(self.mouth.before, 3), "off_after": round(self.mouth.after, 3)}
            mouth |= {"look": json.loads(self.mouth.look.to_json())}
        return {
            "model": str(self.model),
            **{name: round(getattr(self, name), 2) for name in ("learned_s", "held_s", "speech_s")},
            "skipped": self.skipped,
            "share": self.after.share,
            "held_back": {"before": _figures(self.before), "after": _figures(self.after)},
            "mouth": mouth,
        }

    def text(self) -> str:
        """For people."""
        before, after = _figures(self.before), _figures(self.after)
        changes = ", ".join(
            f"{name.replace('_', ' ')} {before[name]:.2f} -> {after[name]:.2f}" for name in _FIGURES[:6]
        )
        motion = f"motion, on {self.held_s:.0f} s held back: {changes}"
        if not self.after.share:
            motion = (
                f"motion: nothing that was learned is better on the {self.held_s:.0f} s held back; it stays as it was"
            )
        look = "mouth: stays as guessed from a photo"
        if self.mouth.look is not None:
            look = (
                f"mouth: {self.mouth.before:.2f} -> {self.mouth.after:.2f} off the film's, on frames not learned from"
            )
        use = f"s2v live --model {self.model} --face PHOTO shows it"
        return "\n".join([f"{self.model}: learned from {self.learned_s:.0f} s of film", motion, look, use])


def adapt(config: AdaptConfig, progress: bool = True) -> AdaptReport:
    """Learn how one person's mouth moves and looks; writes `out`/model.onnx.

    An interrupted run leaves what it extracted, and the next one goes on with it.

    Raises: DataError, no film of one person that can be learned from, or too little speech. OutputError, a model is in
        `out` already, or another process works there.
    """
    network, info = _begun_with(config.init)
    config.out.mkdir(parents=True, exist_ok=True)
    with held_alone(config.out) as alone:
        if not alone:
            raise OutputError(f"another training writes to {config.out}: wait until it ends, or choose another -o")
        remove_leftovers(config.out)
        if (config.out / MODEL).exists() and not config.force:
            raise OutputError(f"{config.out / MODEL} exists: replace it with --force, or choose another -o")
        found = extract_films(config.films, config.out / FEATURES, config.workers, progress)
        seen = stretches(found.films, network.spec)
        if seen.warning:
            _log.warning("%s", seen.warning)
        before, after = _moved(network, seen, config.motion, progress)
        mouth = fit_mouth(seen.learned, network.spec, config.mouth_frames)
        info |= {"adapted": f"to one person's film, by s2v {__version__}"}
        if mouth.look is not None:
            info[INFO_KEY] = mouth.look.to_json()
        export_network(network, network.spec, config.out / MODEL, info)
        lengths = [sum(part.n_frames for part in parts) / network.spec.fps for parts in (seen.learned, seen.held)]
        report = AdaptReport(
            config.out / MODEL, lengths[0], lengths[1], seen.speech_s, found.skipped, before, after, mouth
        )
        write_whole(config.out / FIGURES, json.dumps(report.as_dict(), indent=1) + "\n")
    return report


def _begun_with(init: Path | None) -> tuple[MotionTract, dict[str, str]]:
    """The network, and the texts about it that its model keeps: licence and attribution are those of what it was."""
    path = init or BUNDLED_WEIGHTS
    if path.suffix == SUFFIX:
        info = {key: text for key, text in read_info(path).items() if key in ("licence", "train")}
        return network_of_weights(path), info
    if path.suffix == ".onnx":
        raise DataError(f"{path} is a model file: --face-video begins with .safetensors or .pt")
    network = load_checkpoint(path)
    if not isinstance(network, MotionTract):
        raise DataError(f"{path} is of network {network.spec.network}; only s2v can be adapted to a film")
    return network, {}


def _moved(network: MotionTract, seen: Stretches, fit: MotionFit, progress: bool) -> tuple[Chosen, Chosen]:
    from tqdm import tqdm

    with tqdm(total=fit.steps, unit="step", disable=not progress) as bar:
        return adapt_motion(network, seen.learned, seen.held, fit, bar.update)


def _figures(chosen: Chosen) -> dict[str, float]:
    stored = chosen.figures.as_dict()
    return {name: round(float(stored[name]), 3) for name in _FIGURES}
