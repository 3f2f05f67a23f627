"""Everything speech2vid raises on purpose.

S2vError                     the input or the machine is wrong: one line, exit code 2
├── AudioError               an audio file or stream cannot be used
│   ├── WindowNotReady       those samples are not written yet: wait
│   └── WindowLost           those samples are overwritten: skip this frame
├── FaceError                a photo cannot be used
│   ├── NoFaceError          nobody on it
│   └── SeveralFacesError    more than one person: choose with --face-index
├── ModelError               a model file is not ours, damaged, or made for another spec
├── BackendError             a runtime is missing, or was fed the wrong shape
│   └── UnavailableError     this machine cannot take one more now: try again later
├── DataError                training data cannot be used
├── OutputError              a result cannot be written
└── StreamError              a live session cannot be opened or kept

Messages give the value found, the value wanted and the next step, in one line.
"""

from __future__ import annotations


class S2vError(Exception):
    """Base of all expected failures; the command line prints it as one line and exits with 2."""

    def __str__(self) -> str:
        """One line, whatever somebody has named a file, a field or a face that it tells of."""
        return " ".join(super().__str__().split())


class AudioError(S2vError):
    """An audio file or stream cannot be used."""


class WindowNotReady(AudioError):
    """Those samples are not written yet: wait."""


class WindowLost(AudioError):
    """Those samples have been overwritten: skip this frame."""


class FaceError(S2vError):
    """A photo cannot be used."""


class NoFaceError(FaceError):
    """Nobody was found on the photo."""


class SeveralFacesError(FaceError):
    """More than one face was found; `count` says how many."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count

    def __reduce__(self) -> tuple[type[SeveralFacesError], tuple[str, int]]:
        return SeveralFacesError, (str(self), self.count)


class ModelError(S2vError):
    """A model file is not ours, damaged, or made for another spec."""


class BackendError(S2vError):
    """A runtime is missing, or was fed the wrong shape."""


class UnavailableError(BackendError):
    """This machine cannot take one more now: try again later."""


class DataError(S2vError):
    """Training data cannot be used."""


class OutputError(S2vError):
    """A result cannot be written."""


class StreamError(S2vError):
    """A live session cannot be opened or kept."""
