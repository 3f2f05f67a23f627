"""A film's own sound, where its pictures are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from s2v.errors import AudioError
from s2v.media.audio_file import ENGINE_HZ, MAX_AUDIO_S, AudioClip, read_audio
from s2v.media.container import UnreadableError, opened
from s2v.media.video_file import picture_starts_s


def sound_of_film(path: Path) -> AudioClip:
    """What `read_audio` gives, from the moment of the film's first picture on: later sound comes after silence.

    Raises: AudioError, as `read_audio`; it ends before the first picture, or begins hours later.
    """
    clip = read_audio(path)
    try:
        with opened(path) as media:
            picture_s = picture_starts_s(media)
    except UnreadableError:  # whoever reads the pictures says what is wrong with them
        picture_s = None
    samples = 0 if picture_s is None else round((clip.starts_s - picture_s) * ENGINE_HZ)
    if samples > MAX_AUDIO_S * ENGINE_HZ - len(clip.pcm_16k):
        late_s = samples / ENGINE_HZ
        raise AudioError(f"the sound of {path} begins {late_s:.0f} s after its picture: give another recording")
    if -samples >= len(clip.pcm_16k):
        raise AudioError(f"the sound of {path} ends before its picture begins: give another recording")
    late, early = max(0, samples), max(0, -samples)
    pcm_48k, pcm_16k = (np.pad(pcm[n * early :], (n * late, 0)) for pcm, n in ((clip.pcm_48k, 3), (clip.pcm_16k, 1)))
    return AudioClip(pcm_48k, pcm_16k, clip.starts_s if picture_s is None else picture_s)
