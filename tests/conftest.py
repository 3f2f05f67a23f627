"""What several rooms test with: real faces and clips, made once per test run (tests only read them), and a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from s2v.engine.face.enrolment import EnrolledFace
    from s2v.engine.face.photo import Image

DATA = Path(__file__).parent / "data"

settings.register_profile("s2v", deadline=None)  # how long an example takes says what else the machine has to do
settings.load_profile("s2v")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever has candidates to be connected by makes a call, and a call is drawn against the clock."""
    for item in items:
        if "loopback_ice" in getattr(item, "fixturenames", ()):
            item.add_marker("realtime")


@pytest.fixture(scope="session")
def closed_face() -> EnrolledFace:
    """A man with his lips together, 512 x 512 px."""
    return _enrolled("closed_lips.jpg")


@pytest.fixture(scope="session")
def smiling_face() -> EnrolledFace:
    """A woman who laughs with her mouth open, 384 x 384 px."""
    return _enrolled("open_smile.jpg")


def _enrolled(name: str) -> EnrolledFace:
    from s2v.engine.face.enrolment import enrol
    from s2v.engine.face.photo import load_photo
    from s2v.spec import LipSyncSpec

    return enrol(load_photo(DATA / name), LipSyncSpec())


@pytest.fixture(scope="session")
def closed_photo(closed_face: EnrolledFace) -> Image:
    return closed_face.photo


@pytest.fixture(scope="session")
def smiling_photo(smiling_face: EnrolledFace) -> Image:
    return smiling_face.photo


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of two talkers and two photos: s1 (two clips), other (one clip), people."""
    from s2v.training.extract.extract_features import extract_features

    data, out = tmp_path_factory.mktemp("talkers"), tmp_path_factory.mktemp("features")
    for name, place in {
        "grid_s1_pgid5s.mp4": "s1/pgid5s.mp4",
        "grid_other_sbwe5n.mp4": "other/sbwe5n.mp4",
        "open_smile.jpg": "people/01_smiling.jpg",
        "closed_lips.jpg": "people/02_neutral.jpg",
    }.items():
        target = data / place
        target.parent.mkdir(exist_ok=True)
        shutil.copy(DATA / name, target)
    report = extract_features(data, out, progress=False)
    assert (report.done, report.kept_from_before, report.failed) == (4, 0, {})
    # One real clip under two names is enough for a talker with clips to learn from and one kept back.
    shutil.copy(out / "s1/pgid5s.npz", out / "s1/again.npz")
    return out


@pytest.fixture(scope="session")
def shards(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of `features`: talker s1 to learn from and kept back, talker "other" for validation."""
    from s2v.spec import LipSyncSpec
    from s2v.training.prepare.make_shard import PrepareSettings
    from s2v.training.prepare.prepare_data import prepare_data

    out = tmp_path_factory.mktemp("shards")
    # The seed decides which clip comes first and is kept back: with this one, a clip of s1.
    settings = PrepareSettings(LipSyncSpec(), validation=("other",), pictures_per_clip=4, seed=0)
    prepare_data(features, out, settings, progress=False)
    return out


@pytest.fixture
def offering() -> Iterator[Callable[[list[str]], None]]:
    """Decides which addresses of this machine calls offer, until the test ends."""
    from s2v.streaming.webrtc.aiortc_internals import change_host_addresses

    def offer(addresses: list[str]) -> None:
        assert change_host_addresses(lambda _: addresses)

    yield offer
    assert change_host_addresses(None)


@pytest.fixture
def loopback_ice(loopback_candidates: None) -> None:
    """For tests that wait for what a call brings. They are marked `realtime`."""


@pytest.fixture
def loopback_candidates(offering: Callable[[list[str]], None]) -> None:
    """Connection candidates on 127.0.0.1 only, so that no test sends anything off this machine."""
    offering(["127.0.0.1"])
