"""When which phone is spoken in the bundled sentences, to look at mouths at moments whose shape is known.

Found once with `s2v.training.voices.phones.align` on s2v/assets/phones.flac, written to phones.lab beside it; the test
repeats it.
"""

from __future__ import annotations

from typing import NamedTuple

VOICE_TEXT = (
    "She said we saw five blue shoes by the pool. Both of you fed fresh fish to those ten women, and left slowly. "
    "Who washed the red bed?"
)


class PhoneMoment(NamedTuple):
    """The middle of a phone."""

    label: str  # as it stands above the column
    phone: str  # ARPAbet
    word: str
    time_s: float


PHONE_MOMENTS = (
    PhoneMoment("AA", "AA", "washed", 7.375),
    PhoneMoment("EH", "EH", "bed", 8.06),
    PhoneMoment("IY", "IY", "slowly", 6.67),
    PhoneMoment("UW", "UW", "shoes", 1.965),
    PhoneMoment("OW", "OW", "both", 3.21),
    PhoneMoment("W", "W", "washed", 7.27),
    PhoneMoment("M B P", "M", "women", 5.17),
    PhoneMoment("F V", "F", "five", 1.165),
    PhoneMoment("S", "S", "slowly", 6.17),
    PhoneMoment("SH", "SH", "shoes", 1.80),
    PhoneMoment("TH", "TH", "both", 3.33),
    PhoneMoment("L", "L", "pool", 2.655),
)
LAST_MOMENT_S = max(moment.time_s for moment in PHONE_MOMENTS)
