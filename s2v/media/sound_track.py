"""The frames of a file's sound track, as many as can be decoded, each clean."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.audio.stream import AudioStream

from s2v.media.container import MediaFile, UnreadableError
from s2v.media.samples import Channels, Levels, cleaned, one_channel
from s2v.media.sound_choice import SoundChoice


class SoundTrack:
    """One pass over a sound track: a packet that cannot be decoded is counted and passed over."""

    def __init__(self, media: MediaFile, choice: SoundChoice | None = None) -> None:
        """
        Args: choice: what of the file's sound to take; None is all of the best track.
        Raises: UnreadableError, there is no sound, or no decoder for it.
        """
        tracks = media.tracks("audio")
        self.choice = choice or SoundChoice()
        if self.choice.track >= len(tracks):
            raise UnreadableError("has no sound track" if not tracks else f"has only {len(tracks)} sound tracks")
        self.stream: AudioStream = tracks[self.choice.track]
        self.n_tracks = len(tracks)
        self.levels = Levels()
        self.channels = Channels()
        self.packets = 0
        self.damaged = 0
        self._media = media

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
                    yield self._chosen(cleaned(frame, self.levels, self.choice.ceiling))

    def _chosen(self, frame: av.AudioFrame) -> av.AudioFrame:
        self.channels.hear(frame)
        return frame if self.choice.channel is None else one_channel(frame, self.choice.channel)

    def better_choice(self) -> SoundChoice:
        """What of this track to take, now that it has been heard."""
        return SoundChoice(self.choice.track, self.channels.instead_of_mix(), self.levels.ceiling())
