"""What `generate` says of the file that it has written."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class GenerateReport:
    """What was made, and how fast: of photos and films the times are the same ones."""

    output: str
    frames: int
    seconds: float  # of sound; the picture lasts at most one frame longer
    width_px: int
    height_px: int
    setup_s: float  # what is done once, however long the recording: it is read, model and photo are made ready
    render_s: float  # what each picture costs, until the file has its name: a film watched, frames drawn, encoded
    elapsed_s: float  # both
    realtime_factor: float  # seconds / render_s: over 1 is faster than real time
    backend: str

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def as_text(self) -> str:
        return (
            f"{self.output}: {self.seconds:.2f} s, {self.frames} frames of {self.width_px}x{self.height_px}, "
            f"drawn in {self.render_s:.1f} s ({self.realtime_factor:.1f}x real time, {self.backend})"
        )


@dataclass(frozen=True)
class DubReport(GenerateReport):
    """What was made of a film."""

    fps: float
    frames_dubbed: int  # with a new mouth
    frames_passed: int  # as the film has them: no face, turned away, covered
    shots: int

    def as_text(self) -> str:
        passed = f", {self.frames_passed} left as they were" if self.frames_passed else ""
        shots = f" in {self.shots} shots" if self.shots > 1 else ""
        return (
            f"{self.output}: {self.seconds:.2f} s, {self.frames} frames of {self.width_px}x{self.height_px} at "
            f"{self.fps:g} Hz, {self.frames_dubbed} dubbed{shots}{passed}, "
            f"in {self.render_s:.1f} s ({self.realtime_factor:.1f}x real time, {self.backend})"
        )


def times(seconds: float, started_s: float, rendering_s: float, done_s: float) -> dict[str, float]:
    """The times of a report. Args: seconds: of sound. The others are readings of one clock."""
    return {
        "seconds": round(seconds, 4),
        "setup_s": round(rendering_s - started_s, 3),
        "render_s": round(done_s - rendering_s, 3),
        "elapsed_s": round(done_s - started_s, 3),
        "realtime_factor": round(seconds / (done_s - rendering_s), 3),
    }
