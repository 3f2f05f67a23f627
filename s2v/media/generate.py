"""Photo and recording to mp4, as fast as the machine can draw.

recording -> engine (this thread; frames on as many as there are cores) -> bounded queue -> encoder (its own) -> file
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from s2v.engine.avatar import Avatar, AvatarOptions, Photo
from s2v.engine.avatar_factory import LocalAvatarFactory
from s2v.engine.lipsync import DrawnFrame, Engine, LipSyncEngine
from s2v.errors import OutputError
from s2v.machine import core_count
from s2v.media.audio_file import ENGINE_HZ, PLAYBACK_HZ, AudioClip, read_audio
from s2v.media.mp4 import FILE_PIXELS, Encoding, Mp4Writer, check_output

CHUNK_SAMPLES = ENGINE_HZ // 5  # pushed at once: 0.2 s, five frames
QUEUE_FRAMES = 8  # drawn and not yet encoded; when full, drawing waits


@dataclass(frozen=True)
class GenerateReport:
    """What was made, and how fast."""

    output: str
    frames: int
    seconds: float  # of sound; the picture lasts at most one frame longer
    width_px: int
    height_px: int
    setup_s: float  # photo, recording and model, until the first sample is pushed
    render_s: float  # drawing and encoding, until the file has its name
    elapsed_s: float  # both
    realtime_factor: float  # seconds / render_s: over 1 is faster than real time
    backend: str

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def as_text(self) -> str:
        return (
            f"{self.output}: {self.seconds:.2f} s, {self.frames} frames of {self.width_px}x{self.height_px}, "
            f"drawn in {self.render_s:.1f} s ({self.realtime_factor:.1f}x real time, {self.backend})"
        )


def generate(
    face: Avatar | Photo,
    audio: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: AvatarOptions | None = None,
    *,
    listen_to: str | os.PathLike[str] | None = None,
    face_index: int | None = None,
    encoding: Encoding | None = None,
    progress: bool = False,
) -> GenerateReport:
    """Make a face say a recording.

    Args:
        face: an avatar, or its photo, as `load_avatar` takes it: a path, the bytes of a file, or a picture.
        audio: any audio or video file that `read_audio` reads.
        output: the .mp4 to write; it appears whole or not at all.
        options: what drives and draws the face of a photo; an avatar has its own.
        listen_to: what is said to the face meanwhile, a file as `audio`: cut to its length, or followed by silence. The
            face hears it, who watches the video does not.
        face_index: which face, from the left, if a photo shows several.
        encoding: quality, speed, and whether a file that exists is replaced.
        progress: a bar on stderr, if that is a terminal.
    Raises: FaceError, AudioError, ModelError, BackendError, OutputError. TypeError, options for an avatar.
    """
    if isinstance(face, Avatar) and (options is not None or face_index is not None):
        raise TypeError("an avatar has its options and its face already: give them to load_avatar")
    encoding, output = encoding or Encoding(), Path(output)
    started_s = time.perf_counter()
    check_output(output, encoding.overwrite)
    own = () if options is None else (options.model, options.background)
    _refuse_own_inputs(output, audio, face, listen_to, *own)
    clip = read_audio(Path(audio))
    heard = None if listen_to is None else fitted(read_audio(Path(listen_to)).pcm_16k, len(clip.pcm_16k))
    if not isinstance(face, Avatar):
        face = LocalAvatarFactory(options or AvatarOptions()).enrol(face, face_index=face_index)
    return render(face, clip, output, encoding, progress, started_s, heard)


def fitted(pcm: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """The first `length` samples, followed by silence if there are fewer; shape (length,)."""
    return np.pad(pcm[:length], (0, max(length - len(pcm), 0)))


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
            seconds=round(clip.seconds, 4),
            width_px=width_px,
            height_px=height_px,
            setup_s=round(drawing_s - started_s, 3),
            render_s=round(done_s - drawing_s, 3),
            elapsed_s=round(done_s - started_s, 3),
            realtime_factor=round(clip.seconds / (done_s - drawing_s), 3),
            backend=engine.backend_name,
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
        _Encoder() as encoder,
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


class _Encoder:
    """Runs the writer's calls on a second thread, in order; its failure is raised to the caller."""

    def __init__(self) -> None:
        self._calls: queue.Queue[tuple[Callable[[Any], None], Any] | None] = queue.Queue(QUEUE_FRAMES)
        self._failure: BaseException | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="s2v-encoder")

    def put(self, write: Callable[[Any], None], data: NDArray[Any]) -> None:
        """Queue one call; waits while the queue is full. Raises: what an earlier call raised."""
        if self._failure is not None:
            raise self._failure
        self._calls.put((write, data))

    def __enter__(self) -> _Encoder:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._given_up = kind is not None
        try:
            self._calls.put(None)
            self._thread.join()
        except BaseException:  # Ctrl-C while the last frames are encoded: nobody else may touch the writer yet
            self._given_up = True
            self._calls.put(None)
            self._thread.join()
            raise
        if self._failure is not None and kind is None:
            raise self._failure

    def _run(self) -> None:
        """Until None comes. After a failure it only empties the queue, so that `put` never hangs."""
        while (call := self._calls.get()) is not None:
            if self._failure is None and not self._given_up:
                write, data = call
                try:
                    write(data)
                except BaseException as failure:  # handed to the drawing thread
                    self._failure = failure
