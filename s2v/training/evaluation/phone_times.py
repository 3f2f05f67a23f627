"""When which phone is spoken in the bundled voice, to look at mouths at moments whose shape is known.

Found once with `s2v.training.voices.phones.align` on s2v/assets/voice.flac; the test repeats it.
"""

from __future__ import annotations

from typing import NamedTuple

VOICE_TEXT = (
    "and mister john dash wood had then leisure to consider how much there might prudently be in his power to do "
    "for them he might even have been made amiable himself"
)


class PhoneMoment(NamedTuple):
    """The middle of a phone."""

    label: str  # phones that look alike
    phone: str  # ARPAbet
    word: str
    time_s: float


PHONE_MOMENTS = (
    PhoneMoment("AA", "AA", "john", 1.345),
    PhoneMoment("IY", "IY", "leisure", 2.925),
    PhoneMoment("UW", "UW", "do", 6.785),
    PhoneMoment("M B P", "M", "much", 4.545),
    PhoneMoment("F V", "F", "for", 6.92),
    PhoneMoment("S", "S", "consider", 3.64),
    PhoneMoment("L TH", "L", "leisure", 2.805),
    PhoneMoment("W OW", "W", "dashwood", 1.90),
)
LAST_MOMENT_S = max(moment.time_s for moment in PHONE_MOMENTS)
