"""A file with sound or pictures in it, opened for reading: everything that is read from outside comes through here.

Only plain files are opened, in formats that hold media themselves. Playlists, session descriptions and image sequences
name other places, which FFmpeg would go and read: other files, the network, or one that never ends.
"""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from s2v.media.threads.reader_thread import READ_TIMEOUT_S, ReaderThread
from s2v.media.wav_header import ends_too_early

# FFmpeg's names of its demuxers. What is not here is no recording of a person that anybody has.
FORMATS = (
    "3dostr,aa,aac,ac3,ac4,aiff,alaw,amr,amrnb,amrwb,ape,apng,asf,ast,au,avi,bonk,caf,codec2,dirac,dsf,dss,dts,dtshd,dv,"
    "eac3,flac,flv,g722,g723_1,g729,gif,gsm,gxf,h261,h263,h264,hevc,iamf,iff,ircam,ivf,kux,lc3,loas,m4v,matroska,mjpeg,mlp,mmf,"
    "mov,mp3,mpc,mpc8,mpeg,mpegts,mpegtsraw,mpegvideo,mulaw,mxf,nistsphere,nsv,nut,obu,ogg,oma,paf,pvf,qcp,qoa,rka,rm,rso,"
    "sbc,shn,sln,smjpeg,sox,spdif,swf,tak,truehd,tta,ty,vc1,vivo,voc,vvc,w64,wav,wsd,wtv,wv,xwma,yuv4mpegpipe"
)
_BATCH = 64  # frames decoded at a time: a change of threads costs as much as a frame of sound

Value = TypeVar("Value")


class UnreadableError(Exception):
    """Why a file cannot be read, as the end of "it ..."; whoever asked says what to give instead."""


class MediaFile:
    """An open container, all of whose work is done on a thread of its own: see `reader_thread`."""

    def __init__(self, container: InputContainer, thread: ReaderThread) -> None:
        self.container = container
        self._thread = thread

    def track(self, kind: Literal["audio", "video"]) -> Any:
        """The best of `tracks`; None, there is no track."""
        return next(iter(self.tracks(kind)), None)

    def tracks(self, kind: Literal["audio", "video"]) -> list[Any]:
        """The tracks of a kind that can be decoded, `AudioStream` or `VideoStream`, the best one first.

        A cover is no video. Raises: UnreadableError, naming the codecs, there are some, but none can be decoded.
        """
        tracks = [one for one in self.container.streams if one.type == kind]
        tracks = [one for one in tracks if not one.disposition & Disposition.attached_pic]
        best = self.container.streams.best(kind)
        usable = [one for one in sorted(tracks, key=lambda one: one is not best) if one.codec_context is not None]
        if tracks and not usable:
            codecs = " and ".join(dict.fromkeys(self.described(one).partition(",")[0] for one in tracks))
            thing = "sound" if kind == "audio" else "picture"
            raise UnreadableError(f"has {thing} in codec {codecs}, for which there is no decoder here")
        return usable

    def each(self, values: Iterator[Value], batch: int = _BATCH) -> Iterator[Value]:
        """What an iterator over the container gives, drawn from it on the thread, `batch` at a time.

        Raises: UnreadableError, nothing came in time. What the iterator raises, after what it gave before.
        """
        ended = False
        while not ended:
            some: list[Value] = []
            failure: Exception | None = None
            try:
                ended = self.run(lambda some=some: _take(values, batch, some))  # type: ignore[misc]
            except UnreadableError:
                raise
            except IndexError:  # PyAV's, of a packet of a track that no header has named
                failure = UnreadableError("is damaged: a track begins in it that it did not announce")
            except Exception as error:
                failure = error
            yield from some
            if failure is not None:
                raise failure

    def run(self, call: Callable[[], Value]) -> Value:
        """Raises: UnreadableError, it did not come back in time. Whatever else the call raises."""
        return _in_time(self._thread, call)

    def described(self, stream: Stream) -> str:
        """Codec, rate and channels of a track as FFmpeg writes them; it knows those also that it cannot decode."""
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)  # else the dump is empty
        try:
            dump = self.container.dumps_format()  # type: ignore[attr-defined]  # its stub leaves it out
        finally:
            av.logging.set_level(level)
        found = re.search(rf"Stream #0:{stream.index}(?!\d)[^\n]*?: \w+: ([^\n]*)", dump)
        return _plain(found[1]) if found else "unknown"


def _plain(described: str) -> str:
    """FFmpeg's words where they would mislead: it has no number for more channels than it takes."""
    return re.sub("^none", "unknown", described).replace(", 0 channels", ", no channels, or more than 512")


def _look_at(path: Path) -> bool:
    """Whether a header gives a wrong length, see `wav_header`.

    Raises: UnreadableError, there is nothing of that name, or no plain file with something in it.
    """
    try:
        status = path.stat()
        ends_early = stat.S_ISREG(status.st_mode) and ends_too_early(path)
    except FileNotFoundError:
        hint = "; of an address, download it first" if re.match(r"\w+:/", str(path)) else ""
        raise UnreadableError(f"is not there{hint}") from None
    except OSError as error:
        raise UnreadableError(f"cannot be opened ({error.strerror})") from None
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError("is a folder")
    if not stat.S_ISREG(status.st_mode):  # a pipe, a socket, a device: it may never end, or never begin
        raise UnreadableError("is no plain file but a pipe, a socket or a device")
    if status.st_size == 0:
        raise UnreadableError("is empty (0 bytes)")
    return ends_early


def _take(values: Iterator[Value], most: int, into: list[Value]) -> bool:
    """Append the next values; whether there are no more. What came before a failure has been appended."""
    for value in islice(values, most):
        into.append(value)
    return not into


def _close_all(containers: list[InputContainer]) -> None:
    for one in containers:
        one.close()


def _in_time(thread: ReaderThread, call: Callable[[], Value]) -> Value:
    try:
        return thread.run(call)
    except TimeoutError as error:
        raise UnreadableError(f"cannot be read: {error}") from None


@contextmanager
def opened(path: Path, timeout_s: float = READ_TIMEOUT_S) -> Iterator[MediaFile]:
    """A media file, closed at the end.

    Args: timeout_s: the longest that opening it, or one step of reading it, may take.
    Raises: UnreadableError, it is no plain file, in no format that holds media, damaged, or does not answer; also for
        what FFmpeg finds wrong while it is read.
    """
    thread = ReaderThread(timeout_s)
    # "file:" and the whole path: a colon in a name makes no protocol of what is before it
    url, options = f"file:{path.absolute()}", {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    held: list[InputContainer] = []

    def open_it() -> InputContainer:
        if _look_at(path):
            options["ignore_length"] = "1"  # of the WAV demuxer
        # tags may be in any encoding, and nobody reads them
        held.append(av.open(url, options=options, timeout=timeout_s, metadata_errors="replace"))
        return held[0]

    try:
        yield MediaFile(_in_time(thread, open_it), thread)
    except av.error.ExitError:  # the timeout of FFmpeg
        raise UnreadableError(f"cannot be read: nothing came for {timeout_s:g} s") from None
    except av.error.FFmpegError as error:
        if not held and error.errno == errno.EINVAL:  # how it calls a format that is not on the list
            raise UnreadableError("is in no format of sound or video that this reads") from None
        raise UnreadableError(f"cannot be decoded ({error.strerror})") from error
    finally:
        thread.finish(partial(_close_all, held))
