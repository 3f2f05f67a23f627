"""What all plots share: a path that will do, and a file that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from s2v.errors import OutputError
from s2v.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_plot(path: Path) -> None:
    """Refuse a path before anything is measured. Raises: OutputError."""
    if path.suffix.lower() != ".png":
        raise OutputError(f"the plot is {path}, but this draws .png: name it {path.stem or 'plot'}.png")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder} to write {path.name} into: create it first")


def save(figure: Figure, path: Path) -> None:
    """Write the picture.

    Raises: OutputError, see `check_plot`. OSError, the disk is full or the folder not writable.
    """
    check_plot(path)
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=110)
