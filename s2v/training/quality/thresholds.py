"""All thresholds of the gates that keep poison out of training data, in one place. How each was found: docs/LOG.md."""

from __future__ import annotations

from dataclasses import dataclass

from s2v.media.sound_choice import SPEAKS_DB, SPEAKS_S


@dataclass(frozen=True)
class Thresholds:
    """What a clip must be to be learned from."""

    # clip
    min_clip_s: float = 0.5  # a word
    # sound
    min_speech_s: float = SPEAKS_S  # over quiet,
    min_varies_db: float = SPEAKS_DB  # or, in noise, so much between quiet and loud
    # sound against lips
    min_sync_s: float = 1.5  # in less, one syllable fits like another
    min_sync_margin: float = 0.1  # an offset that fits less clearly than that is not measured,
    min_sync_margin_s: float = 0.5  # nor one whose margin times the clip's length is less
    min_sync_correlation: float = 0.35
    shifted_offset_s: float = 0.08  # two frames; smaller ones are left
    max_offset_s: float = 0.5  # more is no delay of a recorder but another recording
    followed_s: float = 8.0  # a clip so long must show lips that follow the sound,
    min_followed_correlation: float = 0.28  # at any offset
    # picture
    max_lost_share: float = 0.2  # of frames without a face
    min_eye_distance_px: float = 32.0  # between the outer corners of the eyes, median: a face of some 50 px
    max_turn_degrees: float = 35.0  # away from the camera, three quarters of the frames
    max_other_face: float = 0.5  # size of the second largest face over the talker's
    max_other_share: float = 0.2  # of the looks at the picture that show such a second face
    max_still_s: float = 1.0  # the picture is frozen
    still_units: float = 0.0005  # from frame to frame: what an encoder makes of a standing picture, in face units
    # cuts
    cut_jump_units: float = 0.35  # that a face moves between two frames
    cut_look_change: float = 14.0  # of 255, of the look of a face
    cut_over_usual: float = 5.0  # times what both change by otherwise
    same_face_units: float = 0.02  # how far the shapes of one person's face lie apart
    same_face_look: float = 25.0  # of 255, and their looks


DEFAULT = Thresholds()
