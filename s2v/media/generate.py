"""Photo or film and recording to mp4, as fast as the machine can draw.

recording -> engine (this thread; frames on as many as there are cores) -> bounded queue -> encoder (its own) -> file
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from s2v.engine.avatar import Avatar, AvatarOptions, Photo
from s2v.engine.avatar_factory import LocalAvatarFactory
from s2v.engine.lipsync import DrawnFrame, Engine, LipSyncEngine
from s2v.errors import OutputError, S2vError
from s2v.machine import core_count
from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ, AudioClip, fitted, read_audio
from s2v.media.dub_film import DubOptions, dub
from s2v.media.film import is_film
from s2v.media.film_sound import sound_of_film
from s2v.media.generate_report import GenerateReport, times
from s2v.media.mp4 import FILE_PIXELS, Encoding, Mp4Writer, check_output
from s2v.media.threads.encoder_thread import EncoderThread

CHUNK_SAMPLES = ENGINE_HZ // 5  # pushed at once: 0.2 s, five frames


def generate(
    face: Avatar | Photo,
    audio: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: AvatarOptions | None = None,
    *,
    listen_to: str | os.PathLike[str] | None = None,
    face_index: int | None = None,
    dubbing: DubOptions | None = None,
    encoding: Encoding | None = None,
    progress: bool = False,
) -> GenerateReport:
    """Make a face say a recording.

    Args:
        face: an avatar, or its photo, as `load_avatar` takes it: a path, the bytes of a file, or a picture. Or the path
            of a film: the person on it keeps head and eyes, and the mouth says the recording.
        audio: any audio or video file that `read_audio` reads.
        output: the .mp4 to write; it appears whole or not at all.
        options: what drives and draws the face of a photo; an avatar has its own.
        listen_to: what is said to the face meanwhile, a file as `audio`: cut to its length, or followed by silence. The
            face hears it, who watches the video does not.
        face_index: which face, from the left, if a photo or a film shows several.
        dubbing: what becomes of a film that is longer or shorter than the recording.
        encoding: quality, speed, and whether a file that exists is replaced.
        progress: a bar on stderr, if that is a terminal.
    Returns: of a film, a `DubReport`.
    Raises: FaceError, AudioError, ModelError, BackendError, OutputError. TypeError, options for an avatar.
        S2vError, options that do not go with a film, or with a photo.
    """
    if isinstance(face, Avatar) and (options is not None or face_index is not None):
        raise TypeError("an avatar has its options and its face already: give them to load_avatar")
    encoding, output = encoding or Encoding(), Path(output)
    started_s = time.perf_counter()
    check_output(output, encoding.overwrite)
    own = () if options is None else (options.model, options.background)
    _refuse_own_inputs(output, audio, face, listen_to, *own)
    if isinstance(face, str | os.PathLike) and is_film(Path(face)):
        if listen_to is not None:
            raise S2vError("--listen-to is for photos, and the face is a film, which moves by itself: leave it out")
        film = Path(face)
        is_own = film.exists() and Path(audio).exists() and film.samefile(audio)  # its own voice keeps its place
        clip = sound_of_film(film) if is_own else read_audio(Path(audio))
        return dub(film, clip, output, options or AvatarOptions(), dubbing, face_index, encoding, progress, started_s)
    if dubbing is not None and dubbing != DubOptions():
        raise S2vError("--length and --extend are for films, and the face is a photo: leave them out")
    clip = read_audio(Path(audio))
    heard = None if listen_to is None else fitted(read_audio(Path(listen_to)).pcm_16k, len(clip.pcm_16k))
    if not isinstance(face, Avatar):
        face = LocalAvatarFactory(options or AvatarOptions()).enrol(face, face_index=face_index)
    return render(face, clip, output, encoding, progress, started_s, heard)


def _refuse_own_inputs(output: Path, *inputs: object) -> None:
    """Raises: OutputError, replacing the output would take away what it is made of."""
    for given in inputs:
        if isinstance(given, str | os.PathLike) and output.exists() and Path(given).exists() and output.samefile(given):
            raise OutputError(f"{output} is what the video is made of: write to another name")


def render(
    avatar: Avatar,
    clip: AudioClip,
    output: Path,
    encoding: Encoding,
    progress: bool = False,
    started_s: float | None = None,
    heard: NDArray[np.float32] | None = None,
) -> GenerateReport:
    """Draw and write all of `clip` with an engine of its own.

    Args:
        heard: what is said to the face meanwhile, as many samples as `clip.pcm_16k`; None: nobody speaks to it.
        started_s: `time.perf_counter()` when the whole job began, for the report; None is now.
    Raises: what the engine raises; OutputError.
    """
    started_s = time.perf_counter() if started_s is None else started_s
    with avatar.engine(FILE_PIXELS) as engine:
        width_px, height_px = engine.frame_size
        if isinstance(engine, LipSyncEngine):  # others draw elsewhere
            engine.draw_on(core_count())
        drawing_s = time.perf_counter()
        with Mp4Writer(output, width_px, height_px, engine.spec.fps, PLAYBACK_HZ, encoding) as writer:
            frames = _draw_all(engine, clip, heard, writer, progress)
        done_s = time.perf_counter()
        return GenerateReport(
            output=str(output),
            frames=frames,
            width_px=width_px,
            height_px=height_px,
            backend=engine.backend_name,
            **times(clip.seconds, started_s, drawing_s, done_s),
        )


def _draw_all(
    engine: Engine, clip: AudioClip, heard: NDArray[np.float32] | None, writer: Mp4Writer, progress: bool
) -> int:
    """Feed the clip through the engine into the file; returns the number of frames."""
    expected = engine.spec.frame_count(len(clip.pcm_16k))
    frames = 0
    # disable=None: no bar where stderr is not a terminal
    with (
        tqdm(total=expected, unit="frame", desc="drawing", disable=None if progress else True) as bar,
        EncoderThread() as encoder,
    ):
        for pcm_48k, drawn_frames in _drawn(engine, clip, heard):
            encoder.put(writer.write_audio, pcm_48k)
            for drawn in drawn_frames:
                assert drawn.index == frames, f"frame {drawn.index} came as number {frames}"
                encoder.put(writer.write_video, drawn.pixels)
                frames += 1
            bar.update(len(drawn_frames))
    assert frames == expected, f"{frames} frames for {len(clip.pcm_16k)} samples, not {expected}"
    return frames


def _drawn(
    engine: Engine, clip: AudioClip, heard: NDArray[np.float32] | None
) -> Iterator[tuple[NDArray[np.float32], list[DrawnFrame]]]:
    """Sound and the frames that it made ready, chunk by chunk, so that the file is well interleaved."""
    for start in range(0, len(clip.pcm_16k), CHUNK_SAMPLES):
        end = start + CHUNK_SAMPLES
        frames = engine.push(clip.pcm_16k[start:end], None if heard is None else heard[start:end])
        yield clip.pcm_48k[3 * start : 3 * end], frames
    yield clip.pcm_48k[:0], engine.flush()
