"""The folder of a training: one training's at a time, and never written over without being asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s2v.errors import OutputError
from s2v.files import held, remove_leftovers

LAST, BEST, START, MEAN, HISTORY, TENSORBOARD = (
    *("last.pt", "best.pt", "start.pt", "mean.pt"),
    *("history.json", "tensorboard"),
)
_OURS = (LAST, BEST, START, MEAN, HISTORY, TENSORBOARD)


@contextmanager
def claimed(out: Path, going_on: bool, replace: bool) -> Iterator[None]:
    """Around a training that writes to `out`, which is made if need be. Parts of files that a killed one left go.

    Args:
        going_on: with the training that is there. replace: what is there; its files are removed.
    Raises: OutputError, a training is there and neither is wanted, or another process trains into it now.
    """
    out.mkdir(parents=True, exist_ok=True)
    with held(out) as alone:
        if not alone:
            raise OutputError(f"another training writes to {out}: wait until it ends, or choose another -o")
        remove_leftovers(out)
        found = [out / name for name in _OURS if (out / name).exists()]
        if found and replace:
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif found and not going_on:
            raise OutputError(
                f"{out} holds a training already ({found[0].name}): go on with it with --resume, replace it with "
                "--force, or choose another -o"
            )
        yield
