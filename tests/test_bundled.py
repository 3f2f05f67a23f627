from __future__ import annotations

from pathlib import Path

from s2v import bundled
from s2v.spec import LipSyncSpec


def test_every_file_of_the_package_has_one_name() -> None:
    named = {value for name, value in vars(bundled).items() if name.isupper() and value != bundled._ASSETS}
    named.add(bundled.motion_basis_file(LipSyncSpec().motion_basis))
    there = {path for path in (Path(bundled.__file__).parent / "assets").iterdir() if path.suffix != ".md"}
    assert named == there
