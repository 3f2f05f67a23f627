"""One clip through all gates, the cheap ones first: a reason against it, or what of it to keep and how it is mended."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from s2v.spec import LipSyncSpec
from s2v.training.quality import face_gates
from s2v.training.quality.copies import Prints, prints_of
from s2v.training.quality.cuts import longest_of_one_person, shots
from s2v.training.quality.findings import Head, Refusal, SeenPictures, head_of
from s2v.training.quality.lip_sync import Hear, SyncEstimate, estimate_offset, seen_curves, shipped_model_hears
from s2v.training.quality.sound_gates import no_speech, speech_seconds
from s2v.training.quality.thresholds import DEFAULT, Thresholds

FPS, RATE_HZ = LipSyncSpec.fps, LipSyncSpec.sample_rate_hz


@dataclass(frozen=True)
class Kept:
    """The part of a clip to learn from: these frames, and the sound from this sample on."""

    frames: slice
    first_sample: int  # 0 or more

    @property
    def samples(self) -> slice:
        n_samples = round((self.frames.stop - self.frames.start) * RATE_HZ / FPS)
        return slice(self.first_sample, self.first_sample + n_samples)


@dataclass(frozen=True)
class Inspection:
    """What was found of a clip."""

    refusal: Refusal | None
    kept: Kept | None = None  # None: it is refused
    figures: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what was mended, and what was left out
    prints: Prints | None = None


def listen_first(pcm: NDArray[np.int16], limits: Thresholds = DEFAULT) -> Inspection:
    """What can be known before a picture is decoded. Args: pcm: (n,) mono at the spec's rate."""
    refusal = face_gates.too_short(len(pcm) / RATE_HZ, limits) or no_speech(pcm, limits)
    return Inspection(refusal, figures={"length_s": len(pcm) / RATE_HZ, "speech_s": speech_seconds(pcm)})


def inspect_photo(landmarks: NDArray[np.float32], size_px: tuple[int, int], limits: Thresholds = DEFAULT) -> Inspection:
    """Look at a photo. Args: landmarks: (1, 478, 3) in pixels. size_px: width and height."""
    head = head_of(landmarks)
    sizes = {"picture_width_px": float(size_px[0]), "picture_height_px": float(size_px[1])}
    refusal = face_gates.small_face(head, limits) or face_gates.turned_away(head, limits)
    return Inspection(refusal, figures={"length_s": 0.0, **sizes, **_head_figures(head)})


def inspect_clip(
    pictures: SeenPictures, pcm: NDArray[np.int16], limits: Thresholds = DEFAULT, hear: Hear | None = None
) -> Inspection:
    """Look at a clip and listen to it.

    Args:
        pcm: (n,) mono at the spec's rate, from the first frame's beginning.
        hear: what a mouth does for a sound; None is the shipped model's.
    """
    found = np.isfinite(pictures.landmarks[:, 0, 0])
    n_frames, length_s = len(found), len(found) / FPS
    figures = {
        "length_s": length_s,
        "speech_s": speech_seconds(pcm),
        "picture_width_px": float(pictures.size_px[0]),
        "picture_height_px": float(pictures.size_px[1]),
        "lost_share": float((~found).mean()) if n_frames else 1.0,
    }
    refusal = face_gates.too_short(length_s, limits) or face_gates.no_face(found, limits)
    if refusal is not None:
        return Inspection(refusal, figures=figures)
    seen, times_s, looks = pictures.landmarks[found], pictures.times_s[found], pictures.looks[found]
    head = head_of(seen)
    figures |= _head_figures(head)
    still_s = face_gates.longest_still_s(seen, times_s, float(np.median(head.eye_distances_px)), limits)
    refusal = (
        face_gates.small_face(head, limits)
        or face_gates.several_faces(pictures.other_faces, limits)
        or face_gates.turned_away(head, limits)
        or face_gates.frozen(still_s, limits)
    )
    stretch, n_people = longest_of_one_person(
        shots(seen, head.eye_distances_px, looks, limits), head.canonical, looks, limits
    )
    kept, notes = _of_all_frames(stretch, found), []
    if n_people > 1:
        refusal = refusal or face_gates.only_cuts((kept.stop - kept.start) / FPS, n_people, limits)
        notes.append(f"cut to another face: kept {(kept.stop - kept.start) / FPS:.1f} of {length_s:.1f} s")
    if refusal is not None:
        return Inspection(refusal, figures=figures)
    return _against_lips(head, times_s, stretch, kept, pcm, limits, figures, notes, hear or shipped_model_hears())


def _against_lips(
    head: Head,
    times_s: NDArray[np.float64],
    stretch: slice,
    kept: slice,
    pcm: NDArray[np.int16],
    limits: Thresholds,
    figures: dict[str, float],
    notes: list[str],
    hear: Hear,
) -> Inspection:
    curves, length_s = seen_curves(head.canonical[stretch]), (kept.stop - kept.start) / FPS
    estimate = estimate_offset(hear(pcm), curves, times_s[stretch])
    offset_s = 0.0
    if estimate is not None:
        figures |= {"sync_correlation": estimate.correlation, "sync_margin": estimate.margin}
    if refusal := face_gates.voice_over(0.0 if estimate is None else estimate.correlation, length_s, limits):
        return Inspection(refusal, figures=figures)
    if estimate is not None and is_trusted(estimate, length_s, limits):
        figures["offset_ms"] = 1000 * estimate.offset_s
        if abs(estimate.offset_s) > limits.max_offset_s:
            return Inspection(face_gates.out_of_step(estimate.offset_s, limits), figures=figures)
        if abs(estimate.offset_s) >= limits.shifted_offset_s:
            offset_s = estimate.offset_s
            notes.append(f"sound shifted: it came {late_or_early(offset_s)}")
    part = shifted(kept, offset_s, len(pcm))
    figures["length_s"] = (part.frames.stop - part.frames.start) / FPS
    figures["speech_s"] = speech_seconds(pcm[part.samples])
    return Inspection(None, part, figures, tuple(notes), prints_of(pcm[part.samples], curves[0]))


def is_trusted(estimate: SyncEstimate, length_s: float, limits: Thresholds) -> bool:
    """Whether a clip says clearly how late its sound is: the shorter it is, the more clearly it must."""
    wanted = max(limits.min_sync_margin, limits.min_sync_margin_s / length_s)
    fits = estimate.margin >= wanted and estimate.correlation >= limits.min_sync_correlation
    return fits and length_s >= limits.min_sync_s


def late_or_early(offset_s: float) -> str:
    return f"{abs(1000 * offset_s):.0f} ms {'after' if offset_s > 0 else 'before'} the lips"


def shifted(frames: slice, offset_s: float, n_samples: int) -> Kept:
    """Frames and their sound, which comes `offset_s` late, as far as there are both."""
    first, end = frames.start, frames.stop
    late = round(offset_s * RATE_HZ)
    per_frame = RATE_HZ / FPS
    first = max(first, int(np.ceil(-late / per_frame)))
    end = min(end, int((n_samples - late) // per_frame))
    return Kept(slice(first, max(first, end)), round(first * per_frame) + late)


def _head_figures(head: Head) -> dict[str, float]:
    return {
        "eye_distance_px": float(np.median(head.eye_distances_px)),
        "yaw_degrees": float(np.median(head.yaws_degrees)),
        "pitch_degrees": float(np.median(head.pitches_degrees)),
        "turn_degrees": float(np.quantile(head.turns_degrees, face_gates.TURNED_QUANTILE)),
    }


def _of_all_frames(stretch: slice, found: NDArray[np.bool_]) -> slice:
    """A stretch of the frames with a face, as frames of the clip; the clip's own ends stay where they are."""
    places = np.flatnonzero(found)
    first = 0 if stretch.start == 0 else int(places[stretch.start])
    end = len(found) if stretch.stop == len(places) else int(places[stretch.stop - 1]) + 1
    return slice(first, end)
