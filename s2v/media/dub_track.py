"""Watches a film once: its shots, and where the face to be dubbed is on each picture."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from tqdm import tqdm

from s2v.engine.face.detection import open_detector
from s2v.errors import FaceError, NoFaceError
from s2v.media.dub.reference import Candidate
from s2v.media.dub.shot_track import Dubbing, ShotTrack
from s2v.media.dub.shots import CutDetector
from s2v.media.dub.tracking import FaceTracker
from s2v.media.film import Film, film_order
from s2v.media.threads.prefetch import prefetched
from s2v.spec import LipSyncSpec


@dataclass(frozen=True)
class TrackedFilm:
    """A film that was watched."""

    film: Film
    shots: list[ShotTrack]
    dubbings: list[Dubbing | None]  # for each picture that was watched
    order: list[int]  # of the pictures, once through the film
    fps: Fraction

    @cached_property
    def shot_of(self) -> list[int]:
        """For each picture the number of its shot."""
        return [number for number, shot in enumerate(self.shots) for _ in range(len(shot))]

    @property
    def first_reference(self) -> Candidate:
        """Of the first shot in which somebody is dubbed."""
        return next(shot.reference for shot in self.shots if shot.reference is not None)


def tracked_film(
    film: Film, until_s: float, face_index: int | None, spec: LipSyncSpec, progress: bool = False
) -> TrackedFilm:
    """Watch a film up to a moment.

    Args: face_index: which face, from the left, where the film first shows several.
    Raises: FaceError, the film cannot be read, is no film, or shows nobody who could be dubbed.
    """
    shots = _shots(film, until_s, face_index, progress)
    if len(film.stamps_s) < 2:
        raise FaceError(f"{film.path} has {len(film.stamps_s)} picture(s): give a photo, or a film of two or more")
    if not any(shot.faces for shot in shots):
        if face_index:
            raise FaceError(f"--face-index {face_index}: no picture of {film.path} shows so many faces, counted from 0")
        raise NoFaceError(f"no face found in {film.path}: use a film where a face looks at the camera, well lit")
    rate, even = film.rate()
    dubbings = [one for shot in shots for one in shot.dubbings(spec, float(rate))]
    if not any(dubbings):
        raise FaceError(
            f"the face in {film.path} is always too small, turned away or covered: use a film that shows the mouth"
        )
    order, fps = film_order(film.stamps_s, rate, even)
    return TrackedFilm(film, shots, dubbings, order, fps)


def _shots(film: Film, until_s: float, face_index: int | None, progress: bool) -> list[ShotTrack]:
    shots: list[ShotTrack] = []
    cuts = CutDetector()
    with (
        open_detector() as detector,
        prefetched(film.watch(until_s)) as pictures,
        # disable=None: no bar where stderr is not a terminal
        tqdm(unit="frame", desc="tracking", disable=None if progress else True) as bar,
    ):
        tracker = FaceTracker(detector, face_index)
        for number, picture in enumerate(pictures):
            is_cut = cuts.is_cut(picture)
            face = tracker.find(picture, is_cut)
            if not shots or is_cut or shots[-1].begins_anew(face):
                shots.append(ShotTrack(number))
            shots[-1].add(picture, face)
            bar.update()
    return shots
