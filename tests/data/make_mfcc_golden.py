"""Makes mfcc_golden.npz: a real utterance and its MFCC by python_speech_features.

    python tests/data/make_mfcc_golden.py                  recompute the MFCC of the samples in the file
    python tests/data/make_mfcc_golden.py --audio CLIP     take new samples from CLIP (needs av)

pcm: (n,) int16, 16 kHz; mfcc: (n_columns, 13) float64, of pcm / 32768, whole columns only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import python_speech_features

GOLDEN = Path(__file__).with_name("mfcc_golden.npz")
RATE_HZ, WINDOW, STEP = 16_000, 400, 160


def decode(path: Path) -> np.ndarray:
    """The audio of a file as mono int16 at 16 kHz."""
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path)
    audio: Path | None = parser.parse_args().audio
    pcm = np.load(GOLDEN)["pcm"] if audio is None else decode(audio)
    mfcc = python_speech_features.mfcc(
        pcm / 32768.0,
        RATE_HZ,
        winlen=0.025,
        winstep=0.01,
        numcep=13,
        nfilt=40,
        nfft=512,
        lowfreq=300,
        highfreq=3700,
        preemph=0.97,
        ceplifter=22,
        appendEnergy=True,
        winfunc=np.hamming,
    )
    whole = (len(pcm) - WINDOW) // STEP + 1  # the reference pads the last column, a stream does not
    np.savez_compressed(GOLDEN, pcm=pcm, mfcc=mfcc[:whole])


if __name__ == "__main__":
    main()
