"""What the system's loader says when a shared library is missing or broken, and the package that mends it.

A wheel brings most of what it needs, but not OpenGL, GLib or the C++ runtime: those are the system's. mediapipe loads
its own part through ctypes, others by an import; the loader's words are the same.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath

from s2v.errors import BackendError
from s2v.extras import how_to_install

# Package manager -> how it installs, installs again, and finds out which package holds a file.
_MANAGERS = {
    "apt-get": ("apt-get install", "apt-get install --reinstall", "apt-file search "),
    "dnf": ("dnf install", "dnf reinstall", "dnf provides */"),
    "zypper": ("zypper install", "zypper install --force", "zypper search --provides "),
    "pacman": ("pacman -S", "pacman -S", "pacman -F "),
    "apk": ("apk add", "apk fix", "apk search so:"),
}
# Library -> its package for each of _MANAGERS, in their order.
_PACKAGES = {
    "libGL": ("libgl1", "libglvnd-glx", "libglvnd", "libglvnd", "mesa-gl"),
    "libEGL": ("libegl1", "libglvnd-egl", "libglvnd", "libglvnd", "mesa-egl"),
    "libGLESv2": ("libgles2", "libglvnd-gles", "libglvnd", "libglvnd", "mesa-gles"),
    "libGLX": ("libglx0", "libglvnd-glx", "libglvnd", "libglvnd", "mesa-gl"),
    "libGLdispatch": ("libglvnd0", "libglvnd", "libglvnd", "libglvnd", "mesa-gl"),
    "libOpenGL": ("libopengl0", "libglvnd-opengl", "libglvnd", "libglvnd", "mesa-gl"),
    "libglib-2.0": ("libglib2.0-0", "glib2", "libglib-2_0-0", "glib2", "glib"),
    "libgthread-2.0": ("libglib2.0-0", "glib2", "libgthread-2_0-0", "glib2", "glib"),
    "libxcb": ("libxcb1", "libxcb", "libxcb1", "libxcb", "libxcb"),
    "libX11": ("libx11-6", "libX11", "libX11-6", "libx11", "libx11"),
    "libXext": ("libxext6", "libXext", "libXext6", "libxext", "libxext"),
    "libXrender": ("libxrender1", "libXrender", "libXrender1", "libxrender", "libxrender"),
    "libSM": ("libsm6", "libSM", "libSM6", "libsm", "libsm"),
    "libICE": ("libice6", "libICE", "libICE6", "libice", "libice"),
    "libstdc++": ("libstdc++6", "libstdc++", "libstdc++6", "gcc-libs", "libstdc++"),
    "libgcc_s": ("libgcc-s1", "libgcc", "libgcc_s1", "gcc-libs", "libgcc"),
    "libgomp": ("libgomp1", "libgomp", "libgomp1", "gcc-libs", "libgomp"),
    "libz": ("zlib1g", "zlib", "libz1", "zlib", "zlib"),
    "libportaudio": ("libportaudio2", "portaudio", "libportaudio2", "portaudio", "portaudio"),
    "libasound": ("libasound2", "alsa-lib", "libasound2", "alsa-lib", "alsa-lib"),
    "libjack": ("libjack-jackd2-0", "pipewire-jack-audio-connection-kit", "libjack0", "jack2", "jack"),
    "libespeak-ng": ("libespeak-ng1", "espeak-ng", "espeak-ng", "espeak-ng", "espeak-ng"),
    "libOpenCL": ("ocl-icd-libopencl1", "ocl-icd", "libOpenCL1", "ocl-icd", "opencl-icd-loader"),
    "libnuma": ("libnuma1", "numactl-libs", "libnuma1", "numactl", "numactl"),
}
# What OpenCV and mediapipe need, and a slim container has not.
_TOGETHER = ("libGL.so.1", "libEGL.so.1", "libGLESv2.so.2", "libglib-2.0.so.0", "libgthread-2.0.so.0", "libxcb.so.1")
_SYMBOLS = {"egl": "libEGL.so.1", "gl": "libGLESv2.so.2", "Pa_": "libportaudio.so.2", "g_": "libglib-2.0.so.0"}
_OPEN = "cannot open shared object file"
_BROKEN = (
    f"{_OPEN}|file too short|invalid ELF header|cannot read file data|wrong ELF class|failed to map segment"
    "|only ET_DYN and ET_EXEC|undefined symbol|version [`'][^']+' not found|static TLS block|cannot enable executable"
)
_COMPLAINTS = (
    re.compile(rf"(?P<library>[^\s:'\"(,]+\.so[.\w]*): (?P<reason>(?:{_BROKEN}).*)", re.DOTALL),  # glibc
    re.compile(r"Error (?:loading shared library |relocating )(?P<library>[^\s:]+): (?P<reason>.*)", re.DOTALL),  # musl
    re.compile(r"(?:Library not loaded: |dlopen\()(?P<library>[^\s,]+\.dylib)(?P<reason>.*)", re.DOTALL),  # macOS
)
# What auditwheel renames, or lies beside Python code.
_IN_A_WHEEL = re.compile(r"-[0-9a-f]{8}\.so|\.libs/|site-packages")


def unloadable(error: BaseException) -> tuple[str, str] | None:
    """What is wrong with which library, and what to do; None, the error says nothing about one.

    Args: error: an ImportError; ctypes' OSError; or what a library has made of the loader's words.
    """
    found = next((found for one in _COMPLAINTS if (found := one.search(str(error)))), None)
    if found is None:
        return None
    library, reason = found["library"], " ".join(found["reason"].split())[:120].strip(" :,")
    module = error.name if isinstance(error, ImportError) else None
    why = "it is not there" if reason in ("", _OPEN) or "No such file" in reason else reason
    return f"the library {library} cannot be loaded ({why})", _advice(library, reason, module or "")


def loading_failure(error: BaseException) -> tuple[str, str] | None:
    """As `unloadable`, and of a Python package that is missing, too."""
    if (said := unloadable(error)) is not None:
        return said
    if isinstance(error, ImportError):
        what = " ".join(str(error).split())[:300]
        return f"cannot load {error.name or 'a library'} ({what})", how_to_install(error.name or "")
    return None


@contextmanager
def named_libraries() -> Iterator[None]:
    """Around what loads libraries. Raises: BackendError in place of an error that the loader has caused."""
    try:
        yield
    except Exception as error:
        if (said := unloadable(error)) is None:
            raise
        raise BackendError(": ".join(said)) from error


def _advice(library: str, reason: str, module: str) -> str:
    folder, name = PurePath(library).parent, PurePath(library).name
    if "GLIBC_" in reason:
        return "this system is too old for it: use a newer release"
    if str(folder) != "." and str(folder) in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        return f"take {folder} off LD_LIBRARY_PATH, or mend the file there"
    if name.startswith(("libcuda.", "libnvidia-")):
        return "install the NVIDIA driver"
    if symbol := re.search(r"undefined symbol: (\w+)", reason):
        return _of_a_symbol(symbol[1], library)
    if _IN_A_WHEEL.search(library) or name.startswith(("libcu", "libnv", "libtorch", "libc10")):
        return _of_a_wheel(library, module)
    if _OPEN not in reason or "Permission" in reason:
        return from_the_system([name], again=True)
    return from_the_system([name, *_missing_besides(name)])


def _of_a_wheel(library: str, module: str) -> str:
    if not module and (inside := re.search(r"site-packages/(\w+)", library)):
        module = inside[1]
    return how_to_install(module or "torch", again=True)


def _of_a_symbol(symbol: str, library: str) -> str:
    """The library that is named is whole: one that it needs is not what its name says."""
    for prefix, needed in _SYMBOLS.items():
        if symbol.startswith(prefix):
            return (
                f"{needed} is not what it should be: {from_the_system([needed], again=True)}, and check LD_LIBRARY_PATH"
            )
    return f"a library that it needs is of another version: see `ldd {library}`, and check LD_LIBRARY_PATH"


def _missing_besides(name: str) -> list[str]:
    """Where one library of a group is missing, mostly all are: named together, they are installed together."""
    return [other for other in _TOGETHER if other != name and not _loads(other)] if name in _TOGETHER else []


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def from_the_system(libraries: Sequence[str], again: bool = False) -> str:
    """How this system's package manager brings libraries, by the files' names. Args: again: there, but broken."""
    manager = next((name for name in _MANAGERS if shutil.which(name)), None)
    if manager is None:
        return f"install this system's package with {' and '.join(libraries)}"
    install, reinstall, search = _MANAGERS[manager]
    stems = [re.split(r"\.so|\.\d+\.dylib|\.dylib", library)[0] for library in libraries]
    if stems[0] not in _PACKAGES:
        return f"install the package that `{search}{libraries[0]}` names"
    place = list(_MANAGERS).index(manager)
    packages = dict.fromkeys(_PACKAGES[stem][place] for stem in stems if stem in _PACKAGES)
    return f"{reinstall if again else install} {' '.join(packages)}"
