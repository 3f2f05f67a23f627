"""What lips and tongue are after in each phone, and how the aims of neighbouring phones blend.

An aim holds while its phone lasts and dies away exponentially on either side; between phones the aims are averaged,
weighed by how much each phone insists: a rounded vowel rounds the consonants before it, and they let it.
Source of the blending: Cohen and Massaro, "Modeling coarticulation in synthetic visual speech" (1993), dominance
functions. Tongue: Ladefoged, "A Course in Phonetics", chapters 1 and 4; tract variables: Browman and Goldstein (1992).

Lip aims are means measured on film, in hundredths of a face unit: eight GRID talkers and three addresses, 32 s of
free speech, aligned by machine (docs/LOG.md has the table); where fewer than ten phones were found, the talkers with
clean alignments count most. Rounding is asked for a sixth to a third beyond the mean, because a network trained on
labels gives back less than they say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.spec import TRACT_AT_REST, TRACT_VARIABLES, LipSyncSpec
from s2v.training.voices.phones import SILENCE, Phone, lips_like, tongue_like

Float64 = NDArray[np.float64]

WIDTH_DECAY_S, OPENING_DECAY_S, TONGUE_DECAY_S = 0.070, 0.040, 0.040
_REST_INSISTS = 0.05  # so that a long way from every aim the tract is at rest


@dataclass(frozen=True)
class Aim:
    """What a phone is after: a value, how much it insists, and from where to where in the phone it holds."""

    value: float
    insists: float = 1.0
    begins: float = 0.0  # share of the phone's length
    ends: float = 1.0


@dataclass(frozen=True)
class LipAims:
    """Of one phone, 100 face units: width over the clip's median, opening of the inner lips."""

    width: Aim
    opening: Aim
    fixed: float = 0.0  # how far the opening is drawn to its aim, and not only its mean over many phones


def _lips(
    width: float, insists: float, opening: float, fixed: float = 0.0, begins: float = 0.0, ends: float = 1.0
) -> LipAims:
    return LipAims(Aim(width, insists, begins, ends), Aim(opening, 1.0, begins, ends), fixed)


_NASAL_OR_STOP = _lips(-1.6, 0.5, 3.0)  # `close_lips` closes them in their middle
_TEETH_ON_LIP = _lips(0.0, 0.5, 3.6, fixed=0.7)
LIP_AIMS: dict[str, LipAims] = {
    **dict.fromkeys(("P", "B", "M"), _NASAL_OR_STOP), **dict.fromkeys(("F", "V"), _TEETH_ON_LIP),
    "W": _lips(-7.0, 1.0, 3.8, fixed=0.5), "UW": _lips(-4.2, 1.0, 5.2, fixed=0.5),
    "UH": _lips(-2.4, 0.8, 6.5, fixed=0.3), "OW": _lips(-5.4, 1.0, 5.2, fixed=0.3, begins=0.25),
    "AO": _lips(-5.0, 1.0, 6.5),
    "OY": _lips(-4.5, 1.0, 5.6, fixed=0.3, ends=0.5), "R": _lips(-3.4, 0.8, 6.4), "ER": _lips(-3.0, 0.8, 6.8),
    **dict.fromkeys(("SH", "CH", "JH", "ZH"), _lips(-2.0, 0.8, 9.0)),
    **dict.fromkeys(("S", "Z"), _lips(1.0, 0.5, 8.0, fixed=0.3)), **dict.fromkeys(("TH", "DH"), _lips(0.0, 0.3, 7.0)),
    **dict.fromkeys(("T", "D", "N"), _lips(0.3, 0.2, 8.6)), "L": _lips(-0.8, 0.3, 8.0),
    **dict.fromkeys(("K", "G", "NG"), _lips(0.2, 0.2, 9.4)), "HH": _lips(0.0, 0.1, 9.0),
    **dict.fromkeys(("IY", "EY", "Y"), _lips(1.8, 0.7, 10.0)), **dict.fromkeys(("IH", "EH"), _lips(1.2, 0.5, 10.0)),
    **dict.fromkeys(("AE", "AY"), _lips(0.6, 0.5, 11.4)), "AA": _lips(-0.6, 0.5, 12.0), "AW": _lips(-0.8, 0.5, 11.0),
    "AH": _lips(-0.6, 0.4, 8.0),
}  # fmt: skip

# Vowels: height and place of the tongue's body at the beginning and the end of the vowel.
_BODY: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "IY": ((1.0, 1.0), (1.0, 1.0)), "IH": ((0.8, 0.85), (0.8, 0.85)), "EH": ((0.5, 0.95), (0.5, 0.95)),
    "EY": ((0.65, 0.95), (0.95, 1.0)), "AE": ((0.25, 0.85), (0.25, 0.85)), "AA": ((0.0, 0.25), (0.0, 0.25)),
    "AO": ((0.2, 0.0), (0.2, 0.0)), "AH": ((0.4, 0.45), (0.4, 0.45)), "UH": ((0.75, 0.2), (0.75, 0.2)),
    "UW": ((0.95, 0.0), (0.95, 0.0)), "ER": ((0.55, 0.4), (0.55, 0.4)), "AW": ((0.05, 0.4), (0.7, 0.1)),
    "AY": ((0.05, 0.4), (0.85, 0.95)), "OY": ((0.25, 0.05), (0.85, 0.95)), "OW": ((0.45, 0.1), (0.8, 0.0)),
    "Y": ((1.0, 1.0), (1.0, 1.0)), "W": ((0.8, 0.0), (0.8, 0.0)),
}  # fmt: skip
# Consonants: tip; height and place with how much they insist, None where the vowels around decide.
_TONGUE: dict[str, tuple[float, tuple[float, float] | None, tuple[float, float] | None]] = {
    **dict.fromkeys(("T", "D", "N"), (1.0, (0.6, 0.5), (0.75, 0.5))), "L": (1.0, (0.4, 0.5), (0.5, 0.5)),
    **dict.fromkeys(("S", "Z"), (0.85, (0.7, 0.7), (0.75, 0.6))),
    **dict.fromkeys(("TH", "DH"), (1.0, (0.5, 0.6), (0.85, 0.6))), "R": (0.4, (0.55, 0.6), (0.4, 0.6)),
    **dict.fromkeys(("SH", "CH", "JH", "ZH"), (0.5, (0.85, 0.9), (0.7, 0.7))),
    **dict.fromkeys(("K", "G", "NG"), (0.0, (1.0, 0.9), (0.3, 0.2))),
}  # fmt: skip
_TEETH = ("F", "V")
_DENTAL = {"TH": 1.0, "DH": 1.0, "L": 0.3}  # the tip between the teeth; at an l it is seen under the upper ones


def lip_aims(phone: str) -> LipAims | None:
    """Aims of a phone of any language; None for silence and what is no phone."""
    return LIP_AIMS.get(lips_like(phone))


def tract_aims(phone: str) -> tuple[tuple[Aim, ...], ...]:
    """Aims of a phone for each of `TRACT_VARIABLES`; silence is after rest, an unknown phone after nothing."""
    phone = tongue_like(phone)
    if phone == SILENCE:
        return tuple((Aim(value),) for value in TRACT_AT_REST)
    if phone not in LIP_AIMS:
        return ((),) * len(TRACT_VARIABLES)
    to_teeth = (Aim(1.0),) if phone in _TEETH else (Aim(0.0, 0.6),)
    dental = (Aim(_DENTAL[phone]),) if phone in _DENTAL else (Aim(0.0, 0.6),)
    if phone in _BODY:
        (low, back), (high, front) = _BODY[phone]
        body = [(Aim(a, 1.0, 0.0, 0.5), Aim(b, 1.0, 0.5, 1.0)) for a, b in ((low, high), (back, front))]
        return body[0], body[1], (Aim(0.1, 0.6),), to_teeth, dental
    tip, height, place = _TONGUE.get(phone, (0.1, None, None))
    insisting = 1.0 if phone in _TONGUE else 0.3
    body_aims = [(Aim(*aim),) if aim else () for aim in (height, place)]
    return *body_aims, (Aim(tip, insisting),), to_teeth, dental


def dominance(
    times_s: Float64, phones: Sequence[Phone], aims: Sequence[Sequence[Aim]], decay_s: float
) -> tuple[Float64, Float64]:
    """How much each aim counts at each time, (n, n_aims), and the aims' values, (n_aims,).

    Args:
        times_s: (n,). aims: of each phone. decay_s: after that long an aim counts 1 / e of itself.
    """
    rows = [
        (phone.start_s + (phone.end_s - phone.start_s) * aim.begins,
         phone.start_s + (phone.end_s - phone.start_s) * aim.ends, aim.insists, aim.value)
        for phone, several in zip(phones, aims, strict=True) for aim in several
    ]  # fmt: skip
    starts, ends, insists, values = np.array(rows, np.float64).reshape(-1, 4).T
    away_s = np.maximum(0, np.maximum(starts - times_s[:, None], times_s[:, None] - ends))
    return insists * np.exp(-away_s / decay_s), values


def tract_labels(phones: Sequence[Phone], n_frames: int, spec: LipSyncSpec) -> NDArray[np.float32]:
    """What phones and their times say of the tongue and the lower lip, (n_frames, 5) `TRACT_VARIABLES` in [0, 1]."""
    times_s = frame_times_s(n_frames, spec)
    wanted = [tract_aims(phone.name) for phone in phones]
    labels = np.empty((n_frames, len(TRACT_AT_REST)))
    for index, rest in enumerate(TRACT_AT_REST):
        weight, values = dominance(times_s, phones, [aims[index] for aims in wanted], TONGUE_DECAY_S)
        labels[:, index] = (weight @ values + _REST_INSISTS * rest) / (weight.sum(1) + _REST_INSISTS)
    return labels.astype(np.float32)


def frame_times_s(n_frames: int, spec: LipSyncSpec) -> Float64:
    """The middle of each frame, (n_frames,)."""
    return np.array([spec.frame_centre(frame) for frame in range(n_frames)], np.float64) / spec.sample_rate_hz


def class_of(phone: str) -> str:
    """Phones with the same aims for the lips are one class, named after the first; "" for those without."""
    return _CLASSES.get(lips_like(phone), "")


def _classes(aims: Mapping[str, LipAims]) -> dict[str, str]:
    first: dict[LipAims, str] = {}
    return {phone: first.setdefault(wanted, phone) for phone, wanted in aims.items()}


_CLASSES = _classes(LIP_AIMS)
