"""How the mouth part of network "s2v" is trained, and which teeth the network takes along."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.errors import DataError
from s2v.training.networks.model import MotionMouth
from s2v.training.networks.mouth_decoder import N_SETS, TeethMemory
from s2v.training.train.losses import light_between, mouth_loss, shrunk
from s2v.training.train.picture_batches import Pictures, picture_batch

_MOTION_NOISE = 0.15  # standard deviations: the mouth decoder will be given what the motion net says, not the truth
_MEMORY_RATE = 25.0  # how much faster teeth are fitted than weights are: each is seen once in a while only
_DARK = 0.03  # cost of a cavity as bright as a tongue in full light
_GOOD_SHARE = 0.25  # of the people, those whose teeth show best, may lend theirs to others
_TOOTH_LUMA = 0.35  # darker is shadow or tongue
_PICTURES_PER_LOOK = 8


def face_input(target: Tensor, reference: Tensor) -> Tensor:
    """As `network_input` of enrolment: the target without its lower half, then the reference."""
    masked = target.clone()
    masked[:, :, masked.shape[2] // 2 :] = 0
    return torch.cat([masked, reference], 1)


class MouthTraining:
    """A network's mouth part, the pictures it learns from, and the teeth on them."""

    def __init__(self, network: MotionMouth, pictures: Pictures, device: torch.device) -> None:
        """Raises: DataError, the pictures do not say whose they are."""
        if len(pictures.people) != len(pictures):
            raise DataError("the shards' pictures do not say whose mouth they show: prepare them again")
        self.network, self.pictures, self.device = network, pictures, device
        self.memory = TeethMemory(network.spec, *_seen(pictures)).to(device)
        self._optimiser = torch.optim.SparseAdam(self.memory.own.parameters())

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """What a batch costs, a scalar; `batch` as `picture_batch` makes it."""
        mouth_decoder = self.network.frame_decoder.mouth_decoder
        identity = self.network.face_encoder.identity(face_input(batch["reference"], batch["reference"]))
        teeth, cost = self.memory(batch["person"], batch["mirrored"])
        teeth = self._taught(teeth, batch["opening"])
        motion = batch["motion"] + _MOTION_NOISE * torch.randn_like(batch["motion"])
        soft = mouth_decoder.soft(motion)
        mouth = mouth_decoder.lay(soft, mouth_decoder.jaw(batch["motion"]), identity, teeth)
        lit = light_between(batch["gate"], mouth_decoder.place.unit_px)
        mouth = torch.cat([mouth[:, :3] * lit, mouth[:, 3:]], 1)
        # Behind other people's teeth lies what nobody's picture showed: it is to be dark.
        total: Tensor = mouth_loss(mouth, batch) + cost + _DARK * (soft[:, 0] ** 2).mean()
        return total

    def _taught(self, teeth: Tensor, opening: Tensor) -> Tensor:
        """The same teeth, but the upper ones learn only well inside the opening: its rim shows lips already."""
        place = self.network.frame_decoder.mouth_decoder.place
        seen = shrunk(opening)[:, :, place.top : place.top + place.rows]
        upper = teeth[:, :4] * seen + teeth[:, :4].detach() * (1 - seen)
        return torch.cat([upper, teeth[:, 4:]], 1)

    def parameter_groups(self, weights: list[torch.nn.Parameter]) -> list[dict[str, Any]]:
        """For the optimiser of what everybody shares; `rate` is a group's share of the learning rate."""
        common = {"params": [self.memory.colour, self.memory.edge], "rate": _MEMORY_RATE, "weight_decay": 0.0}
        return [{"params": weights, "rate": 1.0}, common]

    def step(self, learning_rate: float) -> None:
        """After `backward`: fit the teeth of the people that the batch showed."""
        for group in self._optimiser.param_groups:
            group["lr"] = _MEMORY_RATE * learning_rate
        self._optimiser.step()
        self._optimiser.zero_grad()

    def state(self) -> dict[str, Tensor]:
        """The teeth of everybody, for a checkpoint."""
        return {key: value.half().cpu() for key, value in self.memory.state_dict().items()}

    def recall(self, state: dict[str, Tensor]) -> None:
        """Go on with the teeth of another run. Raises: DataError, it saw other people or another patch."""
        try:
            self.memory.load_state_dict({key: value.float() for key, value in state.items()})
        except RuntimeError:
            raise DataError(
                f"the checkpoint's teeth are of other people than the {len(self.pictures.names)} of these shards: "
                "go on with the shards it was trained on, or leave it out"
            ) from None

    def settle(self) -> None:
        """Give the network the best sets of teeth, of people who look as unlike each other as can be."""
        looks = self._looks()
        chosen = _spread(looks, tooth_area(self.pictures))
        encoder = self.network.face_encoder
        with torch.no_grad():
            encoder.set_looks.copy_(looks[chosen])
            encoder.sets.copy_(self.memory.sets(chosen))

    def _looks(self) -> Tensor:
        """How everybody looks on average, (n_people, N_LOOKS)."""
        people = np.array(self.pictures.people)
        looks = []
        for name in self.pictures.names:
            some = np.flatnonzero(people == name)[:_PICTURES_PER_LOOK]
            reference = picture_batch(self.pictures, some, rng=None)["reference"].to(self.device)
            looks.append(self.network.face_encoder.looks(face_input(reference, reference)).mean(0))
        return torch.stack(looks)


def _seen(pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Where everybody's open mouth was seen, and in which share of the pictures, (n_people, h, w) in [0, 1] each."""
    openings = pictures.arrays["opening"]
    people = np.array(pictures.people)
    theirs = [openings[people == name] for name in pictures.names]
    seen, often = np.stack([one.max(0) for one in theirs]), np.stack([one.mean(0) for one in theirs])
    return torch.from_numpy(seen).float() / 255, torch.from_numpy(often).float() / 255


def tooth_area(pictures: Pictures) -> NDArray[np.float64]:
    """How well everybody's teeth can be seen, (n_people,): bright pixels of the source between the lips."""
    best = dict.fromkeys(pictures.names, 0.0)
    arrays = zip(pictures.arrays["mouth_target"], pictures.arrays["opening"], strict=True)
    for (target, opening), name, magnified in zip(arrays, pictures.people, pictures.magnified, strict=True):
        luma = target.mean(-1)[opening > 200] / 255
        best[name] = max(best[name], float(np.clip(luma - _TOOTH_LUMA, 0, None).sum() / magnified**2))
    return np.array([best[name] for name in pictures.names])


def _spread(looks: Tensor, quality: NDArray[np.float64]) -> Tensor:
    """N_SETS people among those of the best quality, each as far from those before as can be, (N_SETS,)."""
    n_good = min(len(quality), max(N_SETS, round(_GOOD_SHARE * len(quality))))
    good = torch.tensor(np.argsort(-quality, kind="stable")[:n_good].copy(), device=looks.device)
    chosen = [int(good[0])]
    while len(chosen) < N_SETS:
        # With fewer people than sets, some come twice.
        nearest = torch.cdist(looks[good], looks[chosen]).min(1).values
        chosen.append(int(good[int(nearest.argmax())]))
    return torch.tensor(chosen, device=looks.device)
