"""Do the lips follow? Generated lips against those of the person who was filmed saying it.

    python examples/lips_against_film.py talkers/*.mp4 --face me.jpg

For each clip: a video of the face saying the clip's sound, lip opening detected in both, their
correlation, the offset in frames at which it is best, and the same for loudness alone.
Needs what training needs: pip install -e '.[train]'.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from s2v.cli import BUNDLED_FACE
from s2v.engine.geometry import N_MESH, head_pose
from s2v.engine.motion import aperture
from s2v.streaming.generate import generate
from s2v.training.evaluate import best_offset, correlation
from s2v.training.extract import detect_landmarks
from s2v.training.media import read_video


def lip_opening(video: Path) -> np.ndarray:
    """Opening between the lips of every frame at 25 fps, in outer eye distances."""
    landmarks = detect_landmarks(read_video(video).frames())
    return aperture(np.stack([head_pose(points).to_canonical(points)[:N_MESH] for points in landmarks.astype(float)]))


def loudness(pcm: np.ndarray, n_frames: int) -> np.ndarray:
    """Log energy of each frame's 40 ms."""
    frames = np.pad(pcm / 32768, (0, 640 * n_frames))[: 640 * n_frames].reshape(n_frames, 640)
    return np.log(np.mean(frames**2, axis=1) + 1e-5)


def main() -> None:
    """Measure, print a row per clip and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+", help="videos of one person talking to the camera")
    parser.add_argument("--face", type=Path, default=BUNDLED_FACE)
    parser.add_argument("--model", type=Path, default=None)
    args = parser.parse_args()
    rows = []
    for clip in args.clips:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made.mp4"
            generate(args.face, clip, made, model=args.model)
            drawn, filmed = lip_opening(made), lip_opening(clip)
        n = min(len(drawn), len(filmed))
        drawn, filmed, loud = drawn[:n], filmed[:n], loudness(read_video(clip).pcm, n)
        rows.append((correlation(drawn, filmed), best_offset(drawn, filmed), correlation(loud, filmed)))
        print(f"{clip.stem:24} lips {rows[-1][0]:5.2f}   best offset {rows[-1][1]:2d}   loudness {rows[-1][2]:5.2f}")
    lips, offset, loud = np.median(np.array(rows), axis=0)
    print(f"{'median':24} lips {lips:5.2f}   best offset {offset:2.0f}   loudness {loud:5.2f}")


if __name__ == "__main__":
    main()
