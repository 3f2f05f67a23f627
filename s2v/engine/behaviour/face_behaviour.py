"""What a face does besides its lips while it speaks, listens or is silent: a pose for each frame, from the sound.

Everything is decided every 10 ms of sound and looked up between two of these ticks for a frame: the frame rate changes
when a movement is seen, not the movement. A frame's share of the sound is known from its index alone, so that the poses
are the same however the sound was cut into chunks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.audio.mfcc import as_mono
from s2v.engine.behaviour import brows, gaze, head_motion
from s2v.engine.behaviour.blinks import Blinks
from s2v.engine.behaviour.brows import Brows
from s2v.engine.behaviour.gaze import COUNTER_PITCH, COUNTER_YAW, HIGHEST, WIDEST, Gaze
from s2v.engine.behaviour.head_motion import HeadGestures, head_of
from s2v.engine.behaviour.hearing.conversation import Conversation, Moment
from s2v.engine.behaviour.hearing.prosody import TICK_S
from s2v.engine.behaviour.hearing.sound_queue import SoundQueue
from s2v.engine.behaviour.listening import Backchannel
from s2v.engine.behaviour.mood import MOODS, Mood
from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.behaviour.springs import Springs
from s2v.engine.behaviour.sway import Sway
from s2v.engine.face.maps import smoothstep
from s2v.spec import LipSyncSpec

Pcm = NDArray[np.float32]
Float64 = NDArray[np.float64]

SEED_LIMIT = 2**63  # seeds are whole numbers from 0 to below this
LOOK_AHEAD_S = 0.08  # of the sound after a frame's centre, at most this is used
EASE_IN_S = 1.0  # the first frame is the photo at rest; everything grows from there
LOWEST_BROWS, HIGHEST_BROWS = -0.035, 0.065  # face units
MOST_WIDEN = 0.3
# The newest tick ends 0.5 to 1.5 ticks before the sound that a frame may use: so long before it there are two ticks.
_BEHIND_TICKS = 1.5
# What springs move, in this order: the head's parts, where the eyes look, the upper face.
_OMEGAS = (*head_motion.OMEGAS, *gaze.OMEGAS, *brows.OMEGAS)
_N_HEAD = len(head_motion.OMEGAS)


class FaceBehaviour:
    """The poses of one face in one stream. Used by one thread; frames are asked for in order, each once.

    Args:
        seed: 0 to 2**63 - 1; the same seed and sound move the same, another seed differently.
        spec: whose frames and samples are meant.
        liveliness: scales what the conversation moves, 0..1.5; 0 leaves sway, breath, blinks and looks. An attribute
            of that name may be set at any time.
        mood: steady small offsets of the face.
    Raises: ValueError, a seed out of range.
    """

    def __init__(self, seed: int, spec: LipSyncSpec, liveliness: float = 1.0, mood: Mood = "neutral") -> None:
        if not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed {seed} is not in 0..{SEED_LIMIT - 1}")
        self.liveliness = liveliness
        self._spec, self._expression = spec, MOODS[mood]
        randoms = [np.random.default_rng([seed, i]) for i in range(6)]
        self._sway = Sway(randoms[0])
        self._blinks, self._gaze, self._backchannel = Blinks(randoms[1]), Gaze(randoms[2]), Backchannel(randoms[3])
        self._head, self._brows = HeadGestures(randoms[4]), Brows(randoms[5])
        self._springs = Springs(_OMEGAS, TICK_S)
        self._hop = round(TICK_S * spec.sample_rate_hz)
        self._sound = SoundQueue()
        self._conversation = Conversation(spec.sample_rate_hz)
        self._next_frame = self._ticks = 0
        self._before = self._newest = np.zeros(len(_OMEGAS))  # the moved parts after the last two ticks

    def hear(self, voice: Pcm, heard: Pcm | None = None) -> None:
        """Append sound, mono float32 in [-1, 1] at `spec.sample_rate_hz`.

        Args:
            voice: (n,) what the face says. heard: (n,) what is said to it; None: nobody speaks to it.
        Raises: AudioError, see `as_mono`. ValueError, two lengths.
        """
        self._sound.put(as_mono(voice), None if heard is None else as_mono(heard))

    def pose(self, frame: int) -> FacePose:
        """What is to be seen in video frame `frame`, 0 or later; frame 0 is the photo at rest.

        Sound later than the frame's centre + 80 ms is not looked at; what of it is not there yet counts as silence.
        Raises: ValueError, the frame comes before one that was asked for.
        """
        if frame < self._next_frame:
            raise ValueError(f"frame {frame} was asked for after frame {self._next_frame - 1}: ask in order")
        self._next_frame = frame + 1
        spec = self._spec
        ahead = spec.frame_centre(frame) + round(min(LOOK_AHEAD_S, spec.look_ahead_s) * spec.sample_rate_hz)
        reach = min(ahead, spec.ready_at(frame))
        n_ticks = max(0, (reach - self._hop // 2) // self._hop - self._ticks)
        for moment in self._conversation.hear(*self._sound.take(n_ticks * self._hop)):
            self._before, self._newest = self._newest, self._step(moment)
        self._ticks += n_ticks
        seen = min(max(ahead / self._hop - _BEHIND_TICKS, self._ticks - 1), self._ticks)
        moved = self._newest + (self._ticks - seen) * (self._before - self._newest)
        return self._posed(frame, moved, seen * TICK_S)

    def _step(self, now: Moment) -> Float64:
        """Everything that springs move, after a tick, (n,) in the order of _OMEGAS."""
        nods, lifts = self._backchannel.step(now)
        head = self._head.step(now, nods)
        self._blinks.step(now, self._head.turned and self.liveliness > 0)
        live, upper = self.liveliness, self._brows.step(now, lifts)
        return self._springs.step(np.concatenate([live * head, self._gaze.step(now), live * upper]))

    def _posed(self, frame: int, moved: Float64, sound_s: float) -> FacePose:
        """The pose of a frame from the moved parts (n,) at a moment of the sound."""
        time_s = frame / self._spec.fps
        ease = smoothstep(time_s / EASE_IN_S)
        if not ease:
            return AT_REST
        sway, mood = self._sway.at(time_s), self._expression
        x, y, yaw, pitch, roll, lean = (ease * head_of(moved[:_N_HEAD], sway)).tolist()
        gaze_x, gaze_y, brow, widen, cheeks, corners = (ease * moved[_N_HEAD:]).tolist()
        gaze_x += COUNTER_YAW * float(np.sin(yaw))
        gaze_y += COUNTER_PITCH * float(np.sin(pitch))
        brow += ease * mood.brows
        return FacePose(
            shift=(x, y),
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            lean=lean,
            breath=ease * sway.breath,
            gaze=(_limited(gaze_x, WIDEST), _limited(gaze_y, HIGHEST)),
            closed=self._blinks.closed(sound_s),
            widen=_limited(widen + ease * mood.widen, MOST_WIDEN),
            brows=_limited(brow, HIGHEST_BROWS if brow > 0 else -LOWEST_BROWS),
            cheeks=min(1.0, cheeks + ease * mood.cheeks),
            corners=corners + ease * mood.corners,
        )


def _limited(value: float, most: float) -> float:
    """Bent to stay within -most..most."""
    return most * float(np.tanh(value / most))
