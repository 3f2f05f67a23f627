"""What shows between the lips: teeth that are remembered sharp, laid over a soft cavity, in the light of the photo.

Nobody can tell from closed lips what somebody's teeth look like, so a network that must guess them paints their
average, a pale blur. Here each person of the training photos has teeth of their own, plain pixels that training
fits ("Optimizing the latent space of generative networks", Bojanowski et al. 2018, without a generator). The upper
row stays where the skull is, the lower one follows the jaw; light, shadow, tongue and depth are what is learned
for everybody. The best few sets of teeth travel with the network; a face gets those of the person most like it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2v.engine.face.motion_basis import MotionBasis
from s2v.spec import LipSyncSpec
from s2v.training.networks.layers import conv
from s2v.training.networks.mouth_light import TeethLight

_FLESH = (0.40, 0.38, 0.66)  # BGR of a tongue in full light: what lies behind teeth has no other colour
N_SETS = 12  # of teeth that travel with the network
_CHIN = 152  # mesh point that moves with the jaw
_IVORY = (0.3, 0.6, 0.75)  # BGR, as logits
_CELLS = 4  # a side
N_LOOKS = 3 * _CELLS**2
_RIM_ROWS = 6.0  # of an opening seen: there the lip begins
_LOWER_HALF = 0.15  # face units: the lower row is visible that far from the middle
_OWN_REACH = 1.2  # logits by which anybody's teeth differ from everybody's: enough for a gap, not for a black tooth
_SHARP_CHOICE = 1e3  # a mixture of two sets of teeth would be a blur


class TeethPlace:
    """Where the two rows of teeth lie in the mouth patch, in pixels."""

    def __init__(self, spec: LipSyncSpec) -> None:
        self.size = (spec.mouth_h_px, spec.mouth_w_px)
        self.rows = 9 * spec.mouth_h_px // 16
        self.top = spec.mouth_h_px // 8  # row of the patch where both begin, the lower one with the jaw closed
        self.unit_px = spec.mouth_w_px / spec.mouth_width
        self.lips = spec.mouth_above_lips * spec.mouth_h_px  # row of the lips at rest

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one set of teeth: BGR and cover of the upper row, then of the lower row."""
        return 8, self.rows, self.size[1]


class MouthFaceEncoder(nn.Module):
    """Two faces in six channels -> the light that falls on teeth, and a set of teeth.

    Both are judged by a few mean colours of the reference. More would be learned by heart with the
    faces: a convolutional code of the person painted strangers' teeth blue, and blinding white (docs/LOG.md).
    """

    set_looks: Tensor
    sets: Tensor

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.cells = nn.AvgPool2d(spec.face_px // _CELLS)
        self.light = TeethLight()
        self.shape = TeethPlace(spec).shape
        # Not trained but filled in from `TeethMemory`: who else looks like this, and their teeth.
        self.register_buffer("set_looks", torch.zeros(N_SETS, N_LOOKS))
        self.register_buffer("sets", torch.zeros(N_SETS, *self.shape))

    def looks(self, face: Tensor) -> Tensor:
        """(b, 6, 112, 112) -> mean BGR of the reference's cells, (b, N_LOOKS) in [0, 1]."""
        looks: Tensor = self.cells(face[:, 3:]).flatten(1)
        return looks

    def identity(self, face: Tensor) -> Tensor:
        """(b, 6, 112, 112) -> BGR of the light that falls on teeth, (b, 3)."""
        light: Tensor = self.light(face[:, 3:])
        return light

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """(b, 6, 112, 112) -> identity (b, 3), teeth (b, 8, rows, mouth_w_px) in [0, 1]."""
        # Least distance, what is the same for all sets left out.
        nearness = self.looks(face) @ self.set_looks.T - 0.5 * (self.set_looks * self.set_looks).sum(1)
        choice = torch.softmax(_SHARP_CHOICE * nearness, 1)
        return self.identity(face), (choice @ self.sets.flatten(1)).reshape(-1, *self.shape)


class MouthDecoder(nn.Module):
    """Motion, light and teeth -> what shows between the lips, BGR and alpha."""

    rows: Tensor
    flesh: Tensor
    up_rows: Tensor
    up_columns: Tensor

    def __init__(self, spec: LipSyncSpec) -> None:
        super().__init__()
        self.place = TeethPlace(spec)
        self.start = (spec.mouth_h_px // 32, spec.mouth_w_px // 32)
        self.motion = nn.Sequential(nn.Linear(spec.n_motion, 64), nn.LeakyReLU(0.1))
        self.full = nn.Sequential(nn.Linear(64, 96 * self.start[0] * self.start[1]), nn.LeakyReLU(0.1))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.at_8 = conv(96, 96)
        self.at_16 = conv(96, 64)
        self.at_32 = nn.Sequential(conv(64, 48), conv(48, 32))
        self.out = nn.Conv2d(32, 5, 3, padding=1)
        self.register_buffer("flesh", torch.tensor(_FLESH)[:, None, None], persistent=False)
        self.even = nn.AvgPool2d(11, 1, 5, count_include_pad=False)
        # As products of matrices: on a CPU, what resizes pictures stores them so that taking them apart is slow.
        up_rows, up_columns = (bilinear(8 * n, size) for n, size in zip(self.start, self.place.size, strict=True))
        self.register_buffer("up_rows", up_rows, persistent=False)
        self.register_buffer("up_columns", up_columns.T.contiguous(), persistent=False)
        self.jaw = nn.Linear(spec.n_motion, 1, bias=False)
        chin = MotionBasis.load(spec.motion_basis).displacement(np.array([_CHIN]))[: spec.n_motion, 0, 1]
        with torch.no_grad():
            self.jaw.weight.copy_(torch.tensor(chin * self.place.unit_px)[None])
        lower = torch.arange(self.place.rows, dtype=torch.float32) + self.place.top
        rows = torch.arange(self.place.size[0], dtype=torch.float32)[:, None] - lower
        self.register_buffer("rows", rows, persistent=False)  # how far each patch row is below each row of teeth

    def forward(self, motion: Tensor, identity: Tensor, teeth: Tensor) -> Tensor:
        """(b, n_motion), (b, 3), (b, 8, rows, w) -> (b, 4, mouth_h_px, mouth_w_px) in [0, 1]."""
        return self.lay(self.soft(motion), self.jaw(motion), identity, teeth)

    def soft(self, motion: Tensor) -> Tensor:
        """What is smooth, (b, 5, h, w) in [0, 1].

        How bright the cavity is, from a black throat to the tongue; light on the upper and on the lower teeth; how
        far the lower teeth are free of the tongue; alpha.
        """
        x = self.full(self.motion(motion))  # not of the light: that falls on teeth once, in `lay`
        x = self.at_8(self.up(x.reshape(-1, 96, *self.start)))
        x = self.at_32(self.up(self.at_16(self.up(x))))
        maps = torch.sigmoid(self.out(x))
        # Light changes little along a row of teeth: a finer map would paint the training talker's teeth on others'.
        maps = torch.cat([maps[:, :1], self.even(maps[:, 1:3]), maps[:, 3:]], 1)
        smooth: Tensor = self.up_rows @ (maps @ self.up_columns)
        return smooth

    def lay(self, soft: Tensor, jaw_px: Tensor, identity: Tensor, teeth: Tensor) -> Tensor:
        """Cavity, over it the lower teeth moved `jaw_px` (b, 1) down, over them the upper ones: (b, 4, h, w)."""
        light = identity[:, :, None, None]
        below = self.place.size[0] - self.place.rows - self.place.top
        upper = functional.pad(teeth[:, :4], (0, 0, self.place.top, below))
        off = self.rows - jaw_px[:, :, None]
        moved = functional.relu(1 - functional.relu(off) - functional.relu(-1 * off))  # linear interpolation
        lower = moved[:, None] @ teeth[:, 4:]
        depth, on_upper, on_lower, free, alpha = torch.split(soft, 1, 1)
        cavity = depth * light * self.flesh
        colour = cavity + lower[:, 3:] * free * (lower[:, :3] * light * on_lower - cavity)
        colour = colour + upper[:, 3:] * (upper[:, :3] * light * on_upper - colour)
        return torch.cat([colour.clamp(0, 1), alpha], 1)


def bilinear(n_from: int, n_to: int) -> Tensor:
    """Bilinear interpolation along one axis as a matrix, (n_to, n_from): centres of pixels, edges repeated."""
    at = ((torch.arange(n_to) + 0.5) * n_from / n_to - 0.5).clamp(0, n_from - 1)
    return functional.relu(1 - (at[:, None] - torch.arange(n_from)).abs())


class TeethMemory(nn.Module):
    """The teeth of everybody in the training pictures; used in training only.

    Of each person: the colour of the upper row and the brightness of the lower one as logits, and where the rows
    end, a line each in pixels. Teeth cover all that is behind them: were they let through, the cavity would be
    painted like teeth.
    """

    seen: Tensor
    often: Tensor
    in_front: Tensor

    def __init__(self, spec: LipSyncSpec, seen: Tensor, often: Tensor) -> None:
        """Begin with the usual teeth for everybody.

        Args:
            seen: (n_people, h, w) in [0, 1], where their open mouths were seen.
            often: the same shape, in which share of their pictures.
        """
        super().__init__()
        place = TeethPlace(spec)
        self._colour_shape = (4, place.rows, place.size[1])
        self.colour = nn.Parameter(torch.zeros(self._colour_shape))
        self.edge = nn.Parameter(_usual_edges(place))
        # Sparse: a step touches the teeth of the few people in its batch.
        self.own = nn.Embedding(len(seen), self.colour.numel() + self.edge.numel(), sparse=True)
        nn.init.zeros_(self.own.weight)
        aside = (torch.arange(place.size[1]) + 0.5 - place.size[1] / 2).abs() / place.unit_px
        self.register_buffer("in_front", ((_LOWER_HALF + 0.05 - aside) / 0.05).clamp(0, 1), persistent=False)
        for name, where in (("seen", seen), ("often", often)):
            self.register_buffer(name, where[:, None, place.top : place.top + place.rows], persistent=False)

    def forward(self, people: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        """Person (b,) and whether their picture is mirrored (b,) -> teeth (b, 8, rows, w) in [0, 1]; cost, a scalar.

        What a picture does not show stays what is common to all, and smooth.
        """
        colour, edge = self._own(people)
        whole = torch.cat([colour[:, :3], self.colour[None, :3]])
        chroma = whole - whole.mean(1, keepdim=True)
        cost = 1e-3 * ((colour**2).mean() + (edge**2).mean()) + 5e-3 * (chroma**2).mean()
        for axis in (1, 2):
            cost = cost + 2e-3 * (colour.diff(dim=axis + 1) ** 2).mean()
            cost = cost + 5e-3 * (self.colour.diff(dim=axis) ** 2).mean()
        teeth = _teeth(self.colour + colour, self.edge + edge)
        return torch.where(mirrored[:, None, None, None], teeth.flip(-1), teeth), cost

    def sets(self, people: Tensor) -> Tensor:
        """The teeth of some people (b,), as the face encoder keeps them, (b, 8, rows, w) in [0, 1].

        The upper row ends where the person's picture ended: what is common to all below it belongs to nobody.
        """
        colour, edge = self._own(people)
        edge = self.edge + edge
        rows = torch.arange(1, colour.shape[2] + 1, device=edge.device)[:, None]
        lowest = (rows * (self.seen[people, 0] > 0.5)).amax(1) - _RIM_ROWS
        upper = torch.minimum(edge[:, 0], lowest.to(edge.dtype))
        teeth = _teeth(self.colour + colour, torch.stack([upper, edge[:, 1]], 1))
        # Few pictures show the ends of the lower row; in the corners of a mouth it is not seen.
        teeth[:, 7] *= self.in_front
        return teeth

    def _own(self, people: Tensor) -> tuple[Tensor, Tensor]:
        """How people's teeth differ from everybody's: colour (b, 4, rows, w), edges (b, 2, w).

        Weighed by how often they were seen, a person's upper teeth have everybody's mean colour: it is the light that
        makes them darker or yellower, and a stranger in the same light must get the same.
        """
        own, often = self.own(people), self.often[people]
        n = self.colour.numel()
        colour = _OWN_REACH * torch.tanh(own[:, :n] / _OWN_REACH).reshape(-1, *self._colour_shape)
        tint = (colour * often).sum((2, 3), keepdim=True) / (often.sum((2, 3), keepdim=True) + 1)
        return colour - tint, own[:, n:].unflatten(1, self.edge.shape)


def _teeth(colour: Tensor, edge: Tensor) -> Tensor:
    """Colour (b, 4, rows, w), edges (b, 2, w) -> BGR and cover of both rows of teeth, (b, 8, rows, w) in [0, 1]."""
    ivory = torch.tensor(_IVORY, device=colour.device)[:, None, None]
    smooth = functional.avg_pool1d(edge, 21, 1, 10, count_include_pad=False)[:, :, None]
    below = 2 * (torch.arange(colour.shape[2], device=colour.device)[:, None] - smooth)
    logits = [ivory + colour[:, :3], -below[:, :1], ivory + colour[:, 3:], below[:, 1:]]
    return torch.sigmoid(torch.cat(logits, 1))


def _usual_edges(place: TeethPlace) -> Tensor:
    """Where training begins: the row at which each row of teeth ends, (2, w)."""
    across = (torch.arange(place.size[1], dtype=torch.float32) + 0.5 - place.size[1] / 2) / place.unit_px
    # The upper row hangs 0.06 face units below the resting lips and hides the lower one's edge; both bend up aside.
    drop = torch.tensor([0.06, 0.04])[:, None] - 0.25 * across**2
    return place.lips - place.top + drop * place.unit_px
