"""A training's looks at what it does not learn from: figures after every epoch, probes at its end."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2v.training.evaluation.measures.probes import Probe, mouth_l1
from s2v.training.evenly import evenly
from s2v.training.networks.model import MotionTract, Speech2Vid, TalkingNet
from s2v.training.train import batches as data
from s2v.training.train.batch_source import PictureBatch
from s2v.training.train.losses import pixel_loss
from s2v.training.train.picture_batches import Pictures, face_input, picture_batch
from s2v.training.train.validation import run_probes, sync_report

_PICTURES = 128  # of each set: the same in every epoch
_CLIPS = 200  # of each set, in memory
_TALKERS = 8  # that have a figure each; more are one set
_AT_ONCE = 16
_SHOWN = 4
_log = logging.getLogger("s2v")


@dataclass
class KeptBack:
    """Clips that nothing learns from."""

    clips: dict[str, list[data.Clip]]  # "held" of the training talkers; of others "val", or "val/NAME" each
    pictures: dict[str, PictureBatch]  # for network "speech2vid"

    @classmethod
    def load(cls, shards: str | Path, network: TalkingNet) -> KeptBack:
        """Raises: DataError, not shards."""
        painted = isinstance(network, Speech2Vid)
        found: dict[str, list[data.Clip]] = {}
        pictures: dict[str, PictureBatch] = {}
        for split in ("held", "val"):
            stored, seen = data.load_split(shards, split, painted, _CLIPS)
            talkers = stored.by_talker()
            each = split == "val" and len(talkers) <= _TALKERS
            # A talker may be called as a set is, or as another figure of the record.
            by_name = {f"val/{talker}": some for talker, some in talkers.items()} if each else {split: stored}
            found |= {name: evenly(some, _CLIPS) for name, some in by_name.items() if some}
            clips = evenly(stored.with_pictures(), _CLIPS) if painted else []
            if painted and (batch := _pictures(clips, seen, network)) is not None:
                pictures[split] = batch
        return cls(found, pictures)

    def check(self, network: TalkingNet) -> tuple[dict[str, Any], float | None]:
        """Figures of each set, and the mean score of talkers not trained on, or else of those trained on.

        The network is put into eval mode. Returns: the figures, rounded, by the set's name, and the score; None where
        nothing is kept back.
        """
        network.eval()
        record: dict[str, Any] = {}
        scores: dict[str, float] = {}
        if isinstance(network, MotionTract):
            for name, clips in self.clips.items():
                report = sync_report(network, clips)
                record[name], scores[name] = _rounded(report.as_dict()), report.score
        elif isinstance(network, Speech2Vid):
            for name, batch in self.pictures.items():
                pixels = drawn(network, batch)
                wrong = mouth_l1(pixels.numpy(), batch.target.numpy())
                loss = float(pixel_loss(pixels, batch.target))
                record[name], scores[name] = _rounded({"mouth_l1": wrong, "pixel_loss": loss}), -wrong
        of_others = [score for name, score in scores.items() if name != "held"] or list(scores.values())
        return record, float(np.mean(of_others)) if of_others else None

    def shown(self, network: TalkingNet) -> Tensor | None:
        """A few pictures, each as reference, prediction and target side by side, (3, h, w); of "speech2vid" only."""
        if not isinstance(network, Speech2Vid) or not self.pictures:
            return None
        of_others = self.pictures.get("val", next(iter(self.pictures.values())))
        few = PictureBatch(*(tensor[:_SHOWN] for tensor in of_others))
        network.eval()
        rows = torch.cat([few.reference, drawn(network, few), few.target], dim=3)
        return torch.cat(list(rows), dim=1)


def drawn(network: Speech2Vid, batch: PictureBatch) -> Tensor:
    """(n, 3, face_px, face_px) in [0, 1], on the CPU."""
    device = next(network.parameters()).device
    parts = []
    with torch.no_grad():
        for first in range(0, len(batch.windows), _AT_ONCE):
            windows, target, reference = (tensor[first : first + _AT_ONCE].to(device) for tensor in batch)
            parts.append(network(windows, face_input(target, reference)).float().cpu())
    return torch.cat(parts)


def probe(network: TalkingNet, shards: str | Path) -> list[Probe]:
    """The probes of what was kept back; they are logged."""
    painted = isinstance(network, Speech2Vid)
    splits = {split: data.load_split(shards, split, painted, _CLIPS) for split in ("held", "val")}
    clips = {
        split: evenly(found[0].with_pictures() if painted else found[0], _CLIPS) for split, found in splits.items()
    }
    pictures: Pictures = splits["val"][1]
    found = run_probes(network, clips, pictures if len(pictures) else splits["held"][1])
    if not found:
        _log.warning("no clips are kept back in %s: whether the network listens was not probed", shards)
    for one in found:
        _log.log(logging.INFO if one.passed else logging.WARNING, "%s", one.line())
    return found


def log_record(record: Mapping[str, Any]) -> None:
    _log.info("%s", json.dumps(record))


def as_records(probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """For the checkpoint."""
    return [asdict(one) for one in probes]


def _pictures(clips: Sequence[data.Clip], pictures: Pictures, network: TalkingNet) -> PictureBatch | None:
    """Some of those whose sound is there, spread over all; None, there are none."""
    by_name = {clip.name: clip for clip in clips}
    known = [
        index
        for index, (name, frame) in enumerate(pictures.where)
        if name in by_name and frame < len(by_name[name].motion)
    ]
    if not known:
        return None
    chosen = evenly(known, _PICTURES)
    windows: dict[str, Any] = {}
    found = []
    for name, frame in (pictures.where[index] for index in chosen):
        windows[name] = windows[name] if name in windows else data.windows_of(by_name[name], network.spec)
        found.append(windows[name][min(frame, len(windows[name]) - 1)])
    seen = picture_batch(pictures, np.array(chosen), None)
    return PictureBatch(torch.from_numpy(np.stack(found)), seen["target"], seen["reference"])


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}
