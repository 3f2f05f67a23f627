"""speech2vid: one photo and a live voice become a talking face, in a browser call or a file.

Nothing heavy is imported here: `import s2v` costs milliseconds. The parts are reached by their
own names, for example `s2v.engine.lipsync.LipSyncEngine` or `s2v.media.generate.generate`.
"""

from __future__ import annotations

from s2v.errors import S2vError
from s2v.spec import LipSyncSpec

__version__ = "0.1.0"

__all__ = ["LipSyncSpec", "S2vError", "__version__"]
