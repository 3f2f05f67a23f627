"""What to install for a library that is missing: the same words wherever it is missed."""

from __future__ import annotations

REINSTALL = "pip install --force-reinstall speech2vid"
DISPLAY_LIBRARIES = "on Debian: apt-get install libgl1 libegl1 libgles2 libglib2.0-0"

# Import name -> the extra of pyproject.toml that brings it; what is not here comes with the package itself.
EXTRA_OF = {
    "pyaudio": "mic",
    "torch": "train",
    "onnx": "train",
    "onnxscript": "train",
    "matplotlib": "train",
    "num2words": "train",
    "pocketsphinx": "train",
    "hibari": "voices",
    "tensorrt": "gpu",
    "cuda": "gpu",
    "tensorrt_rtx": "rtx",
}
_ALONE = {  # what one of several may be installed by itself
    "openvino": "pip install openvino",
    "onnxruntime": "pip install onnxruntime",
    "triton": "pip install triton",  # comes with torch's CUDA builds
}
_BESIDES = {
    "torch": " (for an NVIDIA GPU after a torch built for its CUDA)",
    "pyaudio": " (on Debian after apt-get install portaudio19-dev)",
}
_OF_THE_DISPLAY = ("libGL", "libEGL", "libglib", "libgthread")


def how_to_install(module: str) -> str:
    """What to do where a module, by its import name, is missing, ready to stand behind a colon."""
    name = module.partition(".")[0]
    if name in EXTRA_OF:
        return f"pip install 'speech2vid[{EXTRA_OF[name]}]'{_BESIDES.get(name, '')}"
    return _ALONE.get(name, REINSTALL)


def how_to_mend(error: ImportError) -> str:
    """What to do about an import that failed: the library is missing, or a system library that it needs."""
    if any(name in str(error) for name in _OF_THE_DISPLAY):  # OpenCV's and mediapipe's
        return DISPLAY_LIBRARIES
    return how_to_install(error.name or "")
