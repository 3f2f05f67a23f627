"""What the tests of the compositor on a device share; made once per test run, they only read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch_frames import Spoken

    from s2v.engine.face.enrolment import EnrolledFace


@pytest.fixture(scope="session")
def spoken(closed_face: EnrolledFace, smiling_face: EnrolledFace) -> dict[str, Spoken]:
    """Faces "bundled", "closed", "smiling", and what they say."""
    from torch_frames import speak

    return speak(closed_face, smiling_face)
