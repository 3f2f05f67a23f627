"""Which samples belong to which video frame: one MFCC window per frame, live and offline.

Both ways pad the same: samples before sample 0 and after the end of a stream are zeros. The newest column of
frame n is `spec.last_column(n)`. A column is normalised once, by the running mean after it, so that windows are
slices of one stretch of columns: training runs over the stretch at once (`MotionNet.over`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from s2v.engine.audio.level import AutomaticGain
from s2v.engine.audio.mfcc import Float32, Float64, MfccFrontEnd, RunningMean, as_mono, mfcc_and_mean, start_column
from s2v.engine.audio.ring import AudioRing
from s2v.errors import AudioError
from s2v.spec import LipSyncSpec


def normalise(columns: npt.NDArray[np.float32], means: Float64, spec: LipSyncSpec) -> Float32:
    """(columns - means) / spec.mfcc_std as the network takes it, (n, n_cepstra).

    Args:
        columns: (n, n_mfcc). means: (n, n_mfcc), the running mean after each of them.
    """
    scaled = ((columns - means) / np.asarray(spec.mfcc_std, np.float64)).astype(np.float32)
    return scaled[:, spec.n_mfcc - spec.n_cepstra :]  # the paper's network drops c0


def normalised_columns(pcm: npt.ArrayLike, spec: LipSyncSpec, vtl_warp: float = 1.0) -> Float32:
    """All columns of a whole clip that its frames see, (n, n_cepstra); row 0 is column `start_column(spec)`.

    Args:
        pcm: (n,) float32 in [-1, 1] at `spec.sample_rate_hz`.
        vtl_warp: factor on the mel filter edges, for training.
    Raises: AudioError, see `as_mono`.
    """
    return normalise(*mfcc_and_mean(pcm, spec, vtl_warp), spec)


def mfcc_windows(pcm: npt.ArrayLike, spec: LipSyncSpec, vtl_warp: float = 1.0) -> Float32:
    """All windows of a whole clip, shape (spec.frame_count(n), n_cepstra, n_columns): what `MfccWindows` gives.

    Args and raises: see `normalised_columns`.
    """
    samples = as_mono(pcm)
    columns = normalised_columns(samples, spec, vtl_warp)
    start = start_column(spec)
    newest = np.array([spec.last_column(f) - start for f in range(spec.frame_count(len(samples)))], np.intp)
    if not len(newest):
        return np.empty((0, spec.n_cepstra, spec.n_columns), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(columns, spec.n_columns, axis=0)
    return np.ascontiguousarray(windows[newest - (spec.n_columns - 1)])


class MfccWindows:
    """Chunks of live audio in, one normalised window per video frame out, as soon as its samples are there.

    A step computes only the columns that are new (4 at 25 fps). Owned by the session's engine thread.
    """

    def __init__(self, spec: LipSyncSpec) -> None:
        self.spec = spec
        self.n_samples = 0  # pushed so far
        self.next_frame = 0
        self._front_end = MfccFrontEnd(spec)
        self._mean = RunningMean(spec)
        self._gain = AutomaticGain(spec.sample_rate_hz) if spec.automatic_gain else None
        self._recent = np.empty((0, spec.n_cepstra), np.float32)  # the newest columns, normalised, at most n_columns
        self._next_column = start_column(spec)
        # Ring index of sample 0: zeros stand before it, one of them for pre-emphasis.
        self._origin = 1 - self._next_column * spec.mfcc_step_samples
        first = self._origin + spec.ready_at(0)
        later = (spec.last_column(1) - spec.last_column(0) + 1) * spec.mfcc_step_samples + spec.mfcc_window_samples + 1
        waiting = max(first, later)  # the most that an undrawn frame keeps in the ring
        self._piece = spec.sample_rate_hz // 10
        self._ring = AudioRing(waiting + self._piece)
        self._ring.write(np.zeros(self._origin, np.float32))
        self._ended = False

    def push(self, pcm: npt.ArrayLike) -> list[tuple[int, Float32]]:
        """Append mono float32 samples in [-1, 1], shape (k,), any k; return the frames that became ready.

        Returns: (frame index, window of shape (n_cepstra, n_columns)), in order; the caller owns the windows.
        Raises: AudioError, see `as_mono`, or the stream was flushed.
        """
        samples = as_mono(pcm)
        if self._ended:
            raise AudioError("this stream was flushed and takes no more audio: open a new engine")
        return self._append(samples, n_frames=self.spec.frame_count(self.n_samples + len(samples)))

    def flush(self) -> list[tuple[int, Float32]]:
        """End the stream as if zeros followed: the frames still missing of `spec.frame_count(n_samples)`.

        Returns: as `push`; nothing the second time.
        """
        n_frames = self.spec.frame_count(self.n_samples)
        self._ended = True
        if self.next_frame >= n_frames:
            return []
        total = self.n_samples
        zeros = np.zeros(max(0, self.spec.ready_at(n_frames - 1) - total), np.float32)
        frames = self._append(zeros, n_frames)
        self.n_samples = total  # the zeros are ours, not the caller's
        return frames

    def _append(self, samples: Float32, n_frames: int) -> list[tuple[int, Float32]]:
        frames: list[tuple[int, Float32]] = []
        for start in range(0, len(samples), self._piece):
            piece = samples[start : start + self._piece]
            self._ring.write(piece if self._gain is None else self._gain.apply(piece))
            self.n_samples += len(piece)
            while self.next_frame < n_frames and self.spec.ready_at(self.next_frame) <= self.n_samples:
                frames.append((self.next_frame, self._draw(self.next_frame)))
                self.next_frame += 1
        return frames

    def _draw(self, frame: int) -> Float32:
        spec, newest = self.spec, self.spec.last_column(frame)
        n_new = newest + 1 - self._next_column
        if n_new:
            first = self._origin + self._next_column * spec.mfcc_step_samples - 1
            length = 1 + (n_new - 1) * spec.mfcc_step_samples + spec.mfcc_window_samples
            columns = self._front_end.columns(self._ring.window(first, length))
            columns = normalise(columns, self._mean.update(columns), spec)
            self._recent = np.concatenate([self._recent, columns])[-spec.n_columns :]
            self._next_column = newest + 1
        return np.ascontiguousarray(self._recent.T)
