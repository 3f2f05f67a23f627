from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from s2v.errors import OutputError
from s2v.training.run.folder import claimed


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_only_what_a_training_writes_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with claimed(out, going_on=False, replace=False):
        (out / "last.pt").touch()
        (out / "tensorboard").mkdir()
        (out / "tensorboard" / "events").touch()
        (out / "notes.txt").touch()
    with pytest.raises(OutputError, match="--resume"), claimed(out, going_on=False, replace=False):
        pytest.fail("it was entered")
    with claimed(out, going_on=True, replace=False):
        assert names(out) == ["last.pt", "notes.txt", "tensorboard"]
    with claimed(out, going_on=False, replace=True):
        assert names(out) == ["notes.txt"]


def test_a_training_killed_before_its_first_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "start.pt").touch()
    with claimed(tmp_path, going_on=False, replace=False):
        assert names(tmp_path) == []
    (tmp_path / "best.pt").touch()  # of its first epoch
    with (
        pytest.raises(OutputError, match=r"\(best\.pt\): replace it with --force"),
        claimed(tmp_path, going_on=False, replace=False),
    ):
        pytest.fail("it was entered")


def test_parts_of_files_of_a_killed_training_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".s2v-0123456789ab.part").touch()
    (tmp_path / "mine.part").touch()
    with claimed(tmp_path, going_on=False, replace=False):
        assert names(tmp_path) == ["mine.part"]


def test_two_trainings_never_share_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    code = (
        "import sys\nfrom pathlib import Path\nfrom s2v.training.run.folder import claimed\n"
        "with claimed(Path(sys.argv[1]), going_on=False, replace=False):\n print('in', flush=True)\n input()\n"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"in\n"
        with (
            pytest.raises(OutputError, match="another training writes to"),
            claimed(tmp_path, going_on=True, replace=False),
        ):
            pytest.fail("it was entered")
        other.kill()
    with claimed(tmp_path, going_on=False, replace=False):
        pass
