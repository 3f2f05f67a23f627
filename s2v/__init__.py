"""speech2vid: one photo and a live voice become a talking face, in a browser call or a file.

    avatar = s2v.load_avatar("me.jpg")
    s2v.generate(avatar, "speech.wav", "talking.mp4")

    with avatar.engine() as engine:
        for frame in engine.push(chunk):  # mono float32 at 16 kHz, any length
            show(frame.pixels)  # belongs to audio sample frame.centre_sample

Nothing is imported here, so that the command can catch Ctrl-C from its first moment; each name loads what it needs when
it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; `typing` takes as long to load as all that is here

__all__ = [
    "AudioError",
    "Avatar",
    "AvatarOptions",
    "BackendError",
    "DataError",
    "DrawnFrame",
    "DubOptions",
    "DubReport",
    "Encoding",
    "FaceError",
    "GenerateReport",
    "LipSyncEngine",
    "LipSyncSpec",
    "ModelError",
    "NoFaceError",
    "OutputError",
    "S2vError",
    "SeveralFacesError",
    "StreamError",
    "UnavailableError",
    "WindowLost",
    "WindowNotReady",
    "__version__",
    "generate",
    "load_avatar",
]

if TYPE_CHECKING:
    from s2v.engine.avatar import Avatar, AvatarOptions
    from s2v.engine.avatar_factory import load_avatar
    from s2v.engine.lipsync import DrawnFrame, LipSyncEngine
    from s2v.errors import (
        AudioError,
        BackendError,
        DataError,
        FaceError,
        ModelError,
        NoFaceError,
        OutputError,
        S2vError,
        SeveralFacesError,
        StreamError,
        UnavailableError,
        WindowLost,
        WindowNotReady,
    )
    from s2v.media.dub_film import DubOptions
    from s2v.media.generate import generate
    from s2v.media.generate_report import DubReport, GenerateReport
    from s2v.media.mp4 import Encoding
    from s2v.spec import LipSyncSpec
    from s2v.version import __version__
else:  # a type checker that saw this function would believe in every name
    _LAZY = dict.fromkeys(
        [name for name in __all__ if name.endswith("Error") or name.startswith("Window")], "s2v.errors"
    ) | {
        "Avatar": "s2v.engine.avatar",
        "AvatarOptions": "s2v.engine.avatar",
        "load_avatar": "s2v.engine.avatar_factory",
        "DrawnFrame": "s2v.engine.lipsync",
        "LipSyncEngine": "s2v.engine.lipsync",
        "DubOptions": "s2v.media.dub_film",
        "DubReport": "s2v.media.generate_report",
        "GenerateReport": "s2v.media.generate_report",
        "generate": "s2v.media.generate",
        "Encoding": "s2v.media.mp4",
        "LipSyncSpec": "s2v.spec",
        "__version__": "s2v.version",
    }

    def __getattr__(name):
        """A name of the front door, loaded when it is first asked for (PEP 562)."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = found = getattr(import_module(_LAZY[name]), name)
        return found

    def __dir__():
        return __all__
