"""One real clip of three seconds, as often as makes a film of half a minute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from s2v.training.extract.feature_file import ClipFeatures, load_features


@pytest.fixture(scope="session")
def films(features: Path) -> list[ClipFeatures]:
    """Twelve clips of one talker, of three seconds each (GRID, talker s1)."""
    clip = load_features(features / "s1/pgid5s.npz", features)
    return [replace(clip, clip_id=f"s1/clip{number:02}") for number in range(12)]
