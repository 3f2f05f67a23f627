"""What lies between one person's lips, learned from his film: how it differs from what a photo lets one guess.

Differences, so that they hold on a photo in other light. They travel in the metadata of his model file (`s2v_mouth`),
and are drawn with that model only. Lengths are in millimetres of a face, colours in CIE Lab.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from s2v.errors import ModelError

INFO_KEY = "mouth"  # of `ModelFile.info`


@dataclass(frozen=True)
class MouthLook:
    """All zeros is the guess itself. Raises: ModelError, a value outside its LIMITS."""

    teeth_l: float = 0.0  # lighter
    teeth_a: float = 0.0  # redder
    teeth_b: float = 0.0  # yellower
    flesh_l: float = 0.0  # tongue and gums
    cavity_l: float = 0.0
    shade: float = 0.0  # darker where lips take the light away: twice as dark at 1, not at all at -1
    show_mm: float = 0.0  # of the upper teeth that parted lips leave to be seen
    lower_mm: float = 0.0  # that the lower teeth stand higher

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), LIMITS[field.name]
            if type(value) not in (int, float) or not low <= value <= high:
                raise ModelError(
                    f"the model's mouth has {field.name}={value!r:.40}, wanted {low:g} to {high:g}: make it again"
                )

    def to_json(self) -> str:
        return json.dumps({name: round(value, 3) for name, value in asdict(self).items()})

    @classmethod
    def from_json(cls, text: str) -> MouthLook:
        """Raises: ModelError, not what `to_json` wrote."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the model's mouth is not JSON ({error}): make the model again") from None
        if not isinstance(values, dict) or set(values) != {field.name for field in fields(cls)}:
            raise ModelError("the model's mouth is another version's: make the model again with this one")
        return cls(**values)


LIMITS: dict[str, tuple[float, float]] = {
    "teeth_l": (-35.0, 20.0),
    "teeth_a": (-8.0, 12.0),
    "teeth_b": (-12.0, 18.0),
    "flesh_l": (-20.0, 20.0),
    "cavity_l": (-12.0, 12.0),
    "shade": (-0.8, 1.0),
    "show_mm": (-2.5, 4.0),
    "lower_mm": (-2.0, 4.0),
}
