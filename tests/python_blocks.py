"""Runs the Python blocks of the documents as a reader would: in a folder with what the reader brings.

The comment above a block names that, `<!-- run with: me.jpg, speech.wav, microphone_chunks, show -->`:

    me.jpg, speech.wav     a photo, and half a second of speech at 16 kHz
    microphone_chunks()    that speech in chunks of uneven length, mono float32
    show(pixels)           takes a picture, (height, width, 3) uint8

Without the comment the folder is empty.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
from documents import ROOT, Block

from s2v.bundled import BUNDLED_FACE
from s2v.media.audio_file import read_audio

SPEECH_SAMPLES = 8000
FRAMES = 13  # 0.5 s at 25 fps, the last one half covered
SHOWN = "shown.txt"
STAND_INS = {
    "microphone_chunks": """
def microphone_chunks():
    import wave
    import numpy
    with wave.open("speech.wav") as sound:
        for length in 160, 1, 4000, 320, 8000:
            data = numpy.frombuffer(sound.readframes(length), "<i2")
            if len(data):
                yield (data / 32768).astype(numpy.float32)
""",
    "show": f'''
def show(pixels):
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == "uint8", (pixels.shape, pixels.dtype)
    with open("{SHOWN}", "a") as shown:
        print(pixels.shape, file=shown)
''',
}
FILES = {"me.jpg", "speech.wav"}


def write_speech(path: Path, samples: int = SPEECH_SAMPLES) -> Path:
    """The first half second of speech of the test data, or more of it, as wav at 16 kHz."""
    pcm = read_audio(ROOT / "tests" / "data" / "speech.flac").pcm_16k[:samples]
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes((np.clip(pcm, -1, 1) * 32_767).astype("<i2").tobytes())
    return path


def needs_of(block: Block) -> set[str]:
    """What the comment above the block asks for."""
    names = block.note.removeprefix("run with:") if block.note.startswith("run with:") else ""
    needs = {name.strip() for name in names.split(",") if name.strip()}
    unknown = needs - FILES - STAND_INS.keys()
    assert not unknown, f"{block}: nobody knows what {', '.join(sorted(unknown))} should be"
    return needs


def run_block(block: Block, folder: Path) -> None:
    """Raises: AssertionError, it failed, or `show` was asked for and not every frame was shown."""
    needs = needs_of(block)
    if needs & {"speech.wav", "microphone_chunks"}:
        write_speech(folder / "speech.wav")
    if "me.jpg" in needs:
        shutil.copy(BUNDLED_FACE, folder / "me.jpg")
    code = "".join(STAND_INS[name] for name in sorted(needs & STAND_INS.keys())) + "\n" + block.text
    (folder / "block.py").write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "block.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{block}: {done.stderr}"
    if "show" in needs:
        shown = (folder / SHOWN).read_text(encoding="utf-8").splitlines() if (folder / SHOWN).is_file() else []
        assert len(shown) == FRAMES and len(set(shown)) == 1, f"{block} shows {len(shown)} pictures, not {FRAMES}"
