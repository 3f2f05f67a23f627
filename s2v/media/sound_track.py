"""The frames of a file's sound track, as many as can be decoded, each clean."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.audio.stream import AudioStream

from s2v.media.container import MediaFile, UnreadableError
from s2v.media.samples import Levels, cleaned


class SoundTrack:
    """One pass over the best sound track: a packet that cannot be decoded is counted and passed over."""

    def __init__(self, media: MediaFile, ceiling: float | None = None) -> None:
        """
        Args: ceiling: at which to cut samples off, see `Levels.ceiling`.
        Raises: UnreadableError, there is no sound, or no decoder for it.
        """
        stream: AudioStream | None = media.track("audio")
        if stream is None:
            raise UnreadableError("has no sound track")
        self.stream = stream
        self.levels = Levels()
        self.packets = 0
        self.damaged = 0
        self._media = media
        self._ceiling = ceiling

    def frames(self) -> Iterator[av.AudioFrame]:
        """All that could be decoded, with samples in them.

        Raises: UnreadableError, at the end, that was less than half of the packets; or nothing came in time.
        """
        yield from self._media.each(self._decoded())
        if 2 * self.damaged > self.packets:
            raise UnreadableError(
                f"is damaged: {self.damaged} of {self.packets} packets of its sound cannot be decoded "
                f"({self._media.described(self.stream)})"
            )

    def _decoded(self) -> Iterator[av.AudioFrame]:
        packets = self._media.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.ExitError:  # out of time
                raise
            except (av.error.FFmpegError, OSError, IndexError):  # or a track begins that was not announced
                self.packets += 1
                self.damaged += 1
                return  # the container itself ends here
            self.packets += packet.size > 0
            try:
                frames = self.stream.decode(packet)
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, OSError, ValueError):
                self.damaged += packet.size > 0  # the last one is empty: it asks the decoder for what it still holds
                continue
            for frame in frames:
                if frame.samples > 0 and frame.sample_rate > 0:
                    yield cleaned(frame, self.levels, self._ceiling)
