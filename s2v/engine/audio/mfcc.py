"""Audio samples to normalised MFCC columns: the one front end of training and the live engine.

The numbers are those of python_speech_features.mfcc(..., winfunc=np.hamming) with the options of
`LipSyncSpec` (tests hold golden vectors), except that log energies have a floor.
A column depends on its own samples only, so it is the same however the audio was cut into chunks.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from s2v.engine.audio.level import levelled
from s2v.errors import AudioError
from s2v.spec import LipSyncSpec

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Floors make digital silence and the noise of 16-bit rounding look alike. That noise has a power of
# (1 / 32768)^2 / 12 = 7.8e-11 a sample: about 1e-8 in FRAME_ENERGY, at most 2e-10 in one mel filter.
MEL_ENERGY_FLOOR = 1e-9
FRAME_ENERGY_FLOOR = 1e-7

# Frame energy (half of the spectrum) is 0.5 * sum(hamming^2) = 79.5 times the power after pre-emphasis,
# which takes some 10 dB off speech: speech at -60 dBFS (power 1e-6) has 79.5 * 1e-7 = 8e-6.
COUNTS_ABOVE_LOG_ENERGY = math.log(8e-6)

LOUDEST = 8.0  # times full scale: a shout into a microphone that was set too high, but no sound is louder
PRIOR_WEIGHT_S = 1.0  # the prior mean counts like this much audio already heard
BLOCK_COLUMNS = 512  # bounds the memory of long files (about 4 MB of spectrum)


def as_mono(pcm: npt.ArrayLike) -> Float32:
    """Check samples and return them as float32, shape (n,); no copy if they are that already, and all are sound.

    One wrong sample must not end a stream or be heard for seconds: NaN and infinity become silence, and what is beyond
    LOUDEST is cut off. All sound that an engine, its behaviour or training hears comes through here.

    Raises: AudioError, not one-dimensional, or not floating point.
    """
    samples = np.asarray(pcm)
    if samples.ndim != 1:
        raise AudioError(f"audio has shape {samples.shape}; wanted (n,): mix the channels to mono first")
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(f"audio is {samples.dtype}; wanted float32 in [-1, 1]: divide 16-bit samples by 32768")
    with np.errstate(over="ignore"):  # too large for float32 becomes infinity
        samples = samples.astype(np.float32, copy=False)
    if not (np.abs(samples) <= LOUDEST).all():  # NaN is not, either
        samples = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -LOUDEST, LOUDEST)
    return samples


def hz_to_mel(hz: float) -> float:
    """Pitch on the HTK mel scale, 2595 * log10(1 + hz / 700). Source: The HTK Book, section 5.4."""
    return 2595.0 * math.log10(1.0 + hz / 700.0)


def mel_filters(spec: LipSyncSpec, vtl_warp: float = 1.0) -> Float64:
    """Triangular mel filters, shape (n_mels, n_fft // 2 + 1), each with its peak at 1.

    Edges lie on whole FFT bins, floor((n_fft + 1) * hz / rate). `vtl_warp` multiplies all edges in Hz
    (a longer or shorter vocal tract, for training), clamped to half of the sample rate.
    """
    mels = np.linspace(hz_to_mel(spec.mel_low_hz), hz_to_mel(spec.mel_high_hz), spec.n_mels + 2)
    edges_hz = np.minimum(700.0 * (10.0 ** (mels / 2595.0) - 1.0) * vtl_warp, spec.sample_rate_hz / 2)
    edges = np.floor((spec.n_fft + 1) * edges_hz / spec.sample_rate_hz)
    left, peak, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(spec.n_fft // 2 + 1)
    rise = (bins - left) / np.maximum(peak - left, 1.0)  # a side without width is never selected below
    fall = (right - bins) / np.maximum(right - peak, 1.0)
    filters = np.where((bins >= left) & (bins < peak), rise, np.where((bins >= peak) & (bins < right), fall, 0.0))
    # Where warping puts a peak and the right edge on one bin, the filter must not go deaf.
    return np.where((bins == peak) & (peak == right), 1.0, filters)


def lifted_dct(spec: LipSyncSpec) -> Float64:
    """Orthonormal DCT-II times the sine lifter, shape (n_mels, n_mfcc): log mel energies to cepstra."""
    k = np.arange(spec.n_mfcc)
    n = np.arange(spec.n_mels)[:, None]
    dct = math.sqrt(2.0 / spec.n_mels) * np.cos(np.pi * k * (2 * n + 1) / (2 * spec.n_mels))
    dct[:, 0] *= math.sqrt(0.5)
    lift = 1.0 + spec.lifter / 2.0 * np.sin(np.pi * k / spec.lifter) if spec.lifter > 0 else np.ones(len(k))
    return np.asarray(dct * lift, np.float64)


class MfccFrontEnd:
    """Turns samples into MFCC columns. Holds tables only, no state: threads may share one."""

    def __init__(self, spec: LipSyncSpec, vtl_warp: float = 1.0) -> None:
        self.spec = spec
        self._hamming = np.hamming(spec.mfcc_window_samples)
        filters = mel_filters(spec, vtl_warp)
        heard = np.flatnonzero(filters.any(axis=0))
        self._bins = slice(int(heard[0]), int(heard[-1]) + 1)  # most of the spectrum is above mel_high_hz
        self._filters = np.ascontiguousarray(filters[:, self._bins].T)
        self._dct = lifted_dct(spec)

    def columns(self, samples: Float32) -> Float32:
        """MFCC columns of contiguous samples, shape (n, n_mfcc), oldest first; c0 is the log frame energy.

        Args:
            samples: (1 + (n - 1) * step + window,) float32. The first is the one before the first column
                (pre-emphasis needs it; 0.0 before the start of a stream).
        Raises: AudioError, not a whole number of columns.
        """
        spec = self.spec
        step, window = spec.mfcc_step_samples, spec.mfcc_window_samples
        if len(samples) < 1 + window or (len(samples) - 1 - window) % step:
            raise AudioError(f"{len(samples)} samples are no whole columns; wanted {1 + window} + a multiple of {step}")
        exact = samples.astype(np.float64)
        emphasised = exact[1:] - spec.preemphasis * exact[:-1]
        frames = np.lib.stride_tricks.sliding_window_view(emphasised, window)[::step]
        out = np.empty((len(frames), spec.n_mfcc), np.float32)
        for start in range(0, len(frames), BLOCK_COLUMNS):
            out[start : start + BLOCK_COLUMNS] = self._cepstra(frames[start : start + BLOCK_COLUMNS])
        return out

    def _cepstra(self, frames: Float64) -> Float64:
        spectrum = np.fft.rfft(frames * self._hamming, self.spec.n_fft)
        power = (spectrum.real**2 + spectrum.imag**2) / self.spec.n_fft
        mel = np.maximum(power[:, self._bins] @ self._filters, MEL_ENERGY_FLOOR)
        cepstra: Float64 = np.log(mel) @ self._dct
        cepstra[:, 0] = np.log(np.maximum(power.sum(axis=1), FRAME_ENERGY_FLOOR))
        return cepstra


def counts(columns: Float32) -> npt.NDArray[np.bool_]:
    """Which columns, shape (n, n_mfcc), are loud enough to say something about the channel: shape (n,)."""
    return np.asarray(columns[:, 0] > COUNTS_ABOVE_LOG_ENERGY)


class RunningMean:
    """Mean of the loud columns heard so far, older ones forgotten exponentially.

    Starts from `spec.mfcc_mean` with the weight of one second of audio, so that the first words of a live
    stream are already normalised; `spec.mean_time_constant_s` later the prior has all but gone.
    Silence leaves it as it is. One column after the other in float64: chunks cannot change the result.
    """

    def __init__(self, spec: LipSyncSpec) -> None:
        if len(spec.mfcc_mean) != spec.n_mfcc or len(spec.mfcc_std) != spec.n_mfcc:
            found = f"{len(spec.mfcc_mean)} means and {len(spec.mfcc_std)} deviations"
            raise AudioError(f"the spec has {found}; wanted {spec.n_mfcc} of each: use the spec of a trained model")
        column_s = spec.mfcc_step_samples / spec.sample_rate_hz
        self._keep = math.exp(-column_s / spec.mean_time_constant_s)
        self._weight = PRIOR_WEIGHT_S / column_s  # in columns
        self._mean = np.array(spec.mfcc_mean, np.float64)

    def update(self, columns: Float32) -> Float64:
        """Take in columns, shape (n, n_mfcc); return the mean after each of them, same shape, float64."""
        means = np.empty(columns.shape, np.float64)
        mean, weight = self._mean, self._weight
        for i, (column, loud) in enumerate(zip(columns.astype(np.float64), counts(columns).tolist(), strict=True)):
            if loud:
                weight = self._keep * weight + 1.0
                mean = mean + (column - mean) / weight
            means[i] = mean
        self._mean, self._weight = mean, weight
        return means


def start_column(spec: LipSyncSpec) -> int:
    """Index of the column every stream starts with, live or offline: the oldest that frame 0 sees, or 0.

    Columns before 0 (16 at the paper's centred window) see zeros, and real samples where they reach past sample 0.
    """
    return min(0, spec.last_column(0) - spec.n_columns + 1)


def mfcc_and_mean(pcm: npt.ArrayLike, spec: LipSyncSpec, vtl_warp: float = 1.0) -> tuple[Float32, Float64]:
    """Columns of a whole clip as if zeros surrounded it, and the running mean after each.

    Args:
        pcm: (n,) float32 in [-1, 1] at `spec.sample_rate_hz`.
        vtl_warp: factor on the mel filter edges, 0.82 to 1.22 for augmentation.
    Returns: two arrays of shape (n_rows, n_mfcc): row 0 is column `start_column(spec)`, the last row the newest
        column of the clip's last frame. No rows for an empty clip.
    Raises: AudioError, see `as_mono`.
    """
    samples = as_mono(pcm)
    n_frames = spec.frame_count(len(samples))
    if n_frames == 0:
        return np.empty((0, spec.n_mfcc), np.float32), np.empty((0, spec.n_mfcc), np.float64)
    before = 1 - start_column(spec) * spec.mfcc_step_samples  # zeros ahead of sample 0, one of them for pre-emphasis
    padded = np.zeros(before + spec.ready_at(n_frames - 1), np.float32)
    heard = levelled(samples, spec.sample_rate_hz) if spec.automatic_gain else samples
    padded[before : before + len(samples)] = heard[: len(padded) - before]
    columns = MfccFrontEnd(spec, vtl_warp).columns(padded)
    return columns, RunningMean(spec).update(columns)
