"""Where compiled engines are kept: a folder of engines, each with a JSON file that says what it is.

An engine fits one model, one TensorRT, one kind of GPU, one precision and one range of batches; all of that is in
its key, so that a change of any of them finds nothing and a new one is built. Files appear whole, and a reader
that meets half of a pair, or a damaged one, finds nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from s2v.engine.backends.model_file import ModelFile
from s2v.errors import OutputError
from s2v.files import write_whole

RECIPE = 1  # raise it when the same model is built in another way: engines built before are then left alone
MAX_ENGINE_BYTES = 2 * 2**30

_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on."""

    model_sha256: str  # of the frame graph and the spec
    runtime: str  # "tensorrt" or "tensorrt_rtx"
    version: str  # of it
    target: str  # "NVIDIA L4 sm_89", or what a portable engine was built for: "sm_80+sm_86"
    precision: str
    max_batch: int
    recipe: int = RECIPE

    @property
    def name(self) -> str:
        """What the files begin with."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.runtime}-{self.precision}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class CachedEngine:
    """One engine that was found or kept."""

    key: EngineKey
    path: Path
    report_path: Path
    plan: bytes
    report: dict[str, Any]  # build_s: seconds; parity: `Parity` as JSON has it, or None where it was not compared


def model_sha256(model: ModelFile) -> str:
    """What tells models apart that need another engine: notes and licence do not."""
    return hashlib.sha256(model.spec.to_json().encode() + b"\0" + model.frame_graph).hexdigest()


def default_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """$S2V_CACHE/engines, or speech2vid/engines in the user's cache folder."""
    if own := environment.get("S2V_CACHE"):
        return Path(own) / "engines"
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speech2vid" / "engines"


class EngineCache:
    """One folder; it need not exist before something is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder

    def find(self, key: EngineKey) -> CachedEngine | None:
        """The engine of a key; None if there is none, or none that can be trusted."""
        return self._read(self.folder / f"{key.name}.json", key)

    def find_portable(self, key: EngineKey, target: str) -> CachedEngine | None:
        """An engine that differs from the key in nothing but that it was built for more GPUs, `target` among them."""
        for report_path in sorted(self.folder.glob(f"{key.runtime}-{key.precision}-*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                targets = str(json.loads(report_path.read_bytes())["key"]["target"])
                other = replace(key, target=targets)
                if target in targets.split("+") and report_path.stem == other.name:
                    return self._read(report_path, other)
        return None

    def keep(self, key: EngineKey, plan: bytes, report: dict[str, Any]) -> CachedEngine:
        """Write an engine and its JSON; one kept under the same key before is removed.

        Raises: OutputError, the folder cannot be written.
        """
        sha256 = hashlib.sha256(plan).hexdigest()
        report_path = self.folder / f"{key.name}.json"
        # its content is in its name, so that two that build at once never mix their pairs
        path = self.folder / f"{key.name}-{sha256[:8]}.engine"
        entry = {"engine": path.name, "sha256": sha256, "bytes": len(plan), "key": asdict(key), "report": report}
        with self._writing():
            write_whole(path, plan)
            write_whole(report_path, json.dumps(entry, indent=1) + "\n")
            self._remove_all_but(path, key)
        return CachedEngine(key, path, report_path, plan, report)

    def drop(self, key: EngineKey) -> None:
        """Remove an engine; nothing happens if there is none. Raises: OutputError."""
        with self._writing():
            (self.folder / f"{key.name}.json").unlink(missing_ok=True)
            self._remove_all_but(None, key)

    def read_timings(self, key: EngineKey) -> bytes:
        """What was measured while building before, for the same GPU and TensorRT; empty if nothing."""
        with contextlib.suppress(OSError):
            return self._timings_path(key).read_bytes()
        return b""

    def write_timings(self, key: EngineKey, timings: bytes) -> None:
        """Raises: OutputError, the folder cannot be written."""
        if timings:
            with self._writing():
                write_whole(self._timings_path(key), timings)

    def _read(self, report_path: Path, key: EngineKey) -> CachedEngine | None:
        try:
            entry = json.loads(report_path.read_bytes())
            path = self.folder / Path(entry["engine"]).name
            if path.stat().st_size > MAX_ENGINE_BYTES:
                raise ValueError(f"{path} is too large")
            plan = path.read_bytes()
            if entry["key"] != asdict(key) or entry["sha256"] != hashlib.sha256(plan).hexdigest():
                raise ValueError("it is not what its JSON says")
            report = {"build_s": float(entry["report"]["build_s"]), "parity": entry["report"]["parity"]}
            return CachedEngine(key, path, report_path, plan, report)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _log.warning("the engine %s cannot be used (%s): it is built again", report_path.stem, error)
            return None

    def _timings_path(self, key: EngineKey) -> Path:
        builder = hashlib.sha256(f"{key.runtime} {key.version} {key.target}".encode()).hexdigest()
        return self.folder / f"{key.runtime}-{builder[:16]}.timings"

    def _remove_all_but(self, path: Path | None, key: EngineKey) -> None:
        for other in self.folder.glob(f"{key.name}-*.engine"):
            if other != path:
                other.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            # an engine is code for the GPU: nobody else may put one here
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write engines to {self.folder} ({error.strerror or error}): set S2V_CACHE to another folder"
            ) from error
