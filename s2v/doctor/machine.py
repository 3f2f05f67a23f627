"""What this machine has, and what to do about what it lacks: the findings of `s2v doctor`.

Every check loads what it needs by itself, so that a library that cannot be loaded is a finding and not the end.
"""

from __future__ import annotations

import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

from s2v.bundled import BUNDLED_FACE, FACE_LANDMARKER
from s2v.doctor import network
from s2v.doctor.finding import Finding
from s2v.errors import S2vError
from s2v.extras import COMES_ALONG, REINSTALL, how_to_install
from s2v.loading import loading_failure
from s2v.machine import usable_cores

if TYPE_CHECKING:
    from s2v.streaming.webrtc.ice import IceServer

ENOUGH_CORES = 2
FRAME_MS = 40.0  # at 25 fps
EASY_MS = FRAME_MS / 2  # the other half is for encoding, the network and the rest of the machine
TIMED_CALLS = 20
RUNTIMES = ("openvino", "onnxruntime")  # what `--backend auto` chooses from


def examine(port: int = 8080, ice_servers: Sequence[IceServer] = ()) -> Iterator[Finding]:
    """Look at one thing after the other; some take a second. Nothing outside is asked but `ice_servers`.

    Args:
        port: the one `s2v live` would serve on.
    """
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", check_python),
        ("processor", check_processor),
        ("libraries", check_libraries),
        *((name, partial(check_runtime, name)) for name in RUNTIMES),
        ("torch", check_torch),
        ("tensorrt", check_tensorrt),
        ("GPU", check_gpu),
        ("face finder", check_face_finder),
        ("drawing", check_drawing),
        ("codecs", network.check_codecs),
        ("microphones", network.check_microphones),
        ("port", partial(network.check_port, port)),
        ("ICE", partial(network.check_ice, ice_servers)),
    ]
    for name, check in checks:
        yield _guarded(name, check)


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """Whatever a check meets is a finding: it looks for what is broken."""
    try:
        return check()
    except S2vError as error:
        text, _, advice = str(error).rpartition(": ")
        return Finding(name, "fail", text or advice, advice if text else REINSTALL)
    except Exception as error:
        if (failure := loading_failure(error)) is not None:
            return Finding(name, "fail", *failure)
        return Finding(name, "fail", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", REINSTALL)


def check_python() -> Finding:
    system = f"{platform.system()} {platform.machine()}"
    return Finding("Python", "ok", f"{platform.python_version()} on {system}, {sys.prefix}")


def check_processor() -> Finding:
    cores = usable_cores()
    found = f"{cores:.2g} core{'' if cores == 1 else 's'}"
    if cores < ENOUGH_CORES:
        return Finding("processor", "warn", found, "give it two: one draws, one encodes")
    return Finding("processor", "ok", found)


def check_libraries() -> Finding:
    names = tuple(COMES_ALONG.values())
    missing = [name for name in names if _version(name) is None]
    if missing:
        advice = "; ".join(how_to_install(module) for module, name in COMES_ALONG.items() if name in missing)
        return Finding("libraries", "fail", f"not installed: {', '.join(missing)}", advice)
    return Finding("libraries", "ok", ", ".join(f"{name} {_version(name)}" for name in names))


def check_runtime(name: str) -> Finding:
    """Load the bundled model in this runtime, and time one frame's inference."""
    if _version(name) is None:
        other = next(other for other in RUNTIMES if other != name)
        if _version(other) is None:
            return Finding(name, "fail", "not installed, and no other runtime is", how_to_install(name))
        return Finding(name, "warn", "not installed", f"{other} is used; for this one: {how_to_install(name)}")
    import numpy as np

    from s2v.engine.backends import open_backend

    backend = open_backend(None, name)
    try:
        spec = backend.spec
        identity = backend.encode_face(np.zeros((1, 6, spec.face_px, spec.face_px), np.float32))
        mfcc = np.zeros((1, 1, spec.n_cepstra, spec.n_columns), np.float32)
        times_ms = []
        for _ in range(TIMED_CALLS):
            began_s = time.perf_counter()
            backend.infer(mfcc, identity)
            times_ms.append(1000 * (time.perf_counter() - began_s))
    finally:
        backend.close()
    median_ms = statistics.median(times_ms)
    found = f"{_version(name)}, the bundled model takes {median_ms:.1f} ms a frame ({backend.name})"
    if median_ms > EASY_MS:
        return Finding(name, "warn", found, f"more than {EASY_MS:g} ms is slow: close other programs, or try another")
    return Finding(name, "ok", found)


def check_torch() -> Finding:
    version = _version("torch")
    return Finding("torch", "ok", version or "not installed; only training, --backend torch and torch-cuda need it")


def check_tensorrt() -> Finding:
    return Finding("tensorrt", "ok", _tensorrt() or "not installed; nothing but an NVIDIA GPU needs it")


def _tensorrt() -> str | None:
    """Which TensorRT is installed."""
    for name in ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"):
        if version := _version(name):
            return version
    rtx = _version("tensorrt-rtx")
    return None if rtx is None else f"{rtx} (for RTX)"


def check_gpu() -> Finding:
    """What the driver's own tool says; no library is loaded for it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", "ok", "no NVIDIA driver here; a processor is enough")
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("GPU", "warn", f"nvidia-smi does not run ({error})", "check the NVIDIA driver")
    if said.returncode != 0 or not said.stdout.strip():
        reason = " ".join((said.stderr or said.stdout).split())[:160] or f"exit code {said.returncode}"
        return Finding("GPU", "warn", f"nvidia-smi fails: {reason}", "check the driver; a container needs --gpus all")
    found = "; ".join(line.strip() for line in said.stdout.strip().splitlines())
    torch = _version("torch")
    has_torch = torch is not None and "+cpu" not in torch
    if not has_torch and not (_tensorrt() and _version("cuda-bindings")):
        return Finding("GPU", "warn", found, f"to use it: {how_to_install('tensorrt')}, or a CUDA build of torch")
    return Finding("GPU", "ok", found)


def check_face_finder() -> Finding:
    """The face landmark model, on the bundled photo."""
    from s2v.engine.face.face_search import detect_faces
    from s2v.engine.face.photo import load_photo

    if missing := [path.name for path in (FACE_LANDMARKER, BUNDLED_FACE) if not path.is_file()]:
        return Finding("face finder", "fail", f"{' and '.join(missing)} not there", REINSTALL)
    picture = load_photo(BUNDLED_FACE, 512)
    began_s = time.perf_counter()
    faces = detect_faces(picture)
    took_ms = 1000 * (time.perf_counter() - began_s)
    if len(faces) != 1:
        return Finding("face finder", "fail", f"{len(faces)} faces on the bundled photo, which has one", REINSTALL)
    return Finding("face finder", "ok", f"the face of the bundled photo in {took_ms:.0f} ms")


def check_drawing() -> Finding:
    """Whole frames of the bundled face, as `s2v live` draws them."""
    import numpy as np

    from s2v.engine.backends import open_backend
    from s2v.engine.face.enrolment import enrol
    from s2v.engine.face.photo import load_photo
    from s2v.engine.lipsync import LipSyncEngine

    if not BUNDLED_FACE.is_file():
        return Finding("drawing", "fail", f"{BUNDLED_FACE.name} is not there", REINSTALL)
    backend = open_backend(fastest=True)
    try:
        engine = LipSyncEngine(enrol(load_photo(BUNDLED_FACE, 640), backend.spec), backend, idle_seed=0)
        noise = np.random.default_rng(0).normal(0, 0.1, backend.spec.sample_rate_hz).astype(np.float32)
        engine.push(noise[: len(noise) // 2])  # the first frames also allocate
        began_s = time.perf_counter()
        frames = engine.push(noise)
        each_ms = 1000 * (time.perf_counter() - began_s) / max(len(frames), 1)
        width, height = engine.frame_size
        engine.close()
    finally:
        backend.close()
    found = f"{each_ms:.0f} ms for a frame of {width}x{height} px ({backend.name}); {FRAME_MS:.0f} ms are there for it"
    if each_ms > EASY_MS:
        return Finding("drawing", "warn", found, "smaller photos are faster: --max-side 384; or close other programs")
    return Finding("drawing", "ok", found)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
