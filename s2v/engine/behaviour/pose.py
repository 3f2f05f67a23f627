"""Where everything of a face is that its lips do not say: head, gaze, lids, brows, cheeks, corners of the mouth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FacePose:
    """How far everything is from where it is on the photo; all 0 is the photo at rest."""

    shift: tuple[float, float] = (0.0, 0.0)  # of the head, face units: to the viewer's right, down
    yaw: float = 0.0  # radians, the nose to the viewer's right
    pitch: float = 0.0  # radians, the nose down: a nod
    roll: float = 0.0  # radians, clockwise on the picture
    lean: float = 0.0  # share by which the head grows: it comes nearer
    breath: float = 0.0  # 0 breathed out, 1 breathed in
    gaze: tuple[float, float] = (0.0, 0.0)  # of the irises, eye widths: to the viewer's right, down
    closed: float = 0.0  # of the lids: 0 as on the photo, 1 shut
    widen: float = 0.0  # share of the eye's opening by which the upper lids stand higher; below 0 lower
    brows: float = 0.0  # face units: up
    cheeks: float = 0.0  # 0 as on the photo, 1 raised
    corners: float = 0.0  # face units: the corners of the mouth up and out; below 0 down

    @property
    def still(self) -> bool:
        """Nothing is moved at all."""
        return self == AT_REST


AT_REST = FacePose()
