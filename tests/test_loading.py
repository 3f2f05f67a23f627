"""A shared library that cannot be loaded: in the loader's own words of this and other systems."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest

from s2v import loading
from s2v.errors import BackendError
from s2v.loading import named_libraries, unloadable

GONE = "cannot open shared object file: No such file or directory"


@pytest.fixture(params=["apt-get", "dnf", "zypper", "pacman", "apk"])
def manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A system that has this one alone, and lacks no other library of OpenCV's."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == request.param else None)
    monkeypatch.setattr(loading, "_loads", lambda library: True)
    return str(request.param)


EGL = {"apt-get": "libegl1", "dnf": "libglvnd-egl", "zypper": "libglvnd", "pacman": "libglvnd", "apk": "mesa-egl"}


def test_a_missing_library_is_named_with_this_systems_package(manager: str) -> None:
    said = unloadable(OSError(f"libEGL.so.1: {GONE}"))
    assert said is not None and said[0] == "the library libEGL.so.1 cannot be loaded (it is not there)"
    command, _, package = said[1].rpartition(" ")
    assert command.startswith(manager if manager != "pacman" else "pacman -S") and package == EGL[manager]
    unknown = unloadable(ImportError(f"libstrange.so.3: {GONE}", name="cv2"))
    assert unknown is not None and "libstrange.so.3`" in unknown[1] and "pip" not in unknown[1]


def test_all_that_are_missing_of_a_group_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "apt-get" else None)
    monkeypatch.setattr(loading, "_loads", lambda library: not library.startswith("libGL"))
    said = unloadable(OSError(f"libEGL.so.1: {GONE}"))
    assert said is not None and said[1] == "apt-get install libegl1 libgl1 libgles2"


@pytest.mark.parametrize(
    ("words", "library", "advice"),
    [
        ("/lib64/libGLESv2.so.2: file too short", "/lib64/libGLESv2.so.2", "apt-get install --reinstall libgles2"),
        ("libGL.so.1: wrong ELF class: ELFCLASS32", "libGL.so.1", "apt-get install --reinstall libgl1"),
        (f"libGL.so.1: {GONE.replace('No such file or directory', 'Permission denied')}", "libGL.so.1", "--reinstall"),
        ("Error loading shared library libGL.so.1: No such file (needed by /a/cv2.so)", "libGL.so.1", "libgl1"),
        (
            "/venv/site-packages/mediapipe/tasks/c/libmediapipe.so: undefined symbol: eglGetError",
            "",
            "libEGL.so.1 is not",
        ),
        (
            f"libavcodec-e863e0e1.so.63.1.102: {GONE}",
            "libavcodec-e863e0e1.so.63.1.102",
            "pip install --force-reinstall",
        ),
        ("/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.99' not found (required by x)", "", "newer release"),
        (f"libcuda.so.1: {GONE}", "libcuda.so.1", "NVIDIA driver"),
        (f"libcublas.so.12: {GONE}", "libcublas.so.12", "pip install --force-reinstall"),
        ("Cannot load library /v/libopenvino_x.so: libtbb.so.12: " + GONE, "libtbb.so.12", "apt-file search libtbb"),
    ],
)
def test_each_complaint_has_what_helps(words: str, library: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "apt-get" else None)
    monkeypatch.setattr(loading, "_loads", lambda library: True)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    said = unloadable(ImportError(words, name="cv2"))
    assert said is not None and library in said[0] and advice in said[1]


def test_a_folder_put_before_the_systems_is_the_first_suspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the loader's real words."""
    broken = tmp_path / "libEGL.so.1"
    broken.write_bytes(b"nothing")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    with pytest.raises(BackendError, match=rf"{broken}.*: take {tmp_path} off LD_LIBRARY_PATH"), named_libraries():
        ctypes.CDLL(str(broken))


@pytest.mark.parametrize("error", [OSError("photo.jpg: No such file"), ValueError("x"), ImportError("no", name="av")])
def test_other_failures_are_not_taken_for_it(error: Exception) -> None:
    assert unloadable(error) is None
    with pytest.raises(type(error)), named_libraries():
        raise error
