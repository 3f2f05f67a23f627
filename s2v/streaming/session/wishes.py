"""What a caller asks of the face while it is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from s2v.engine.behaviour.options import check_liveliness
from s2v.engine.face.articulation import check_articulation
from s2v.errors import S2vError, StreamError

MAX_MESSAGE_CHARACTERS = 200


@dataclass(frozen=True)
class Wishes:
    """How the frames drawn next shall be; None leaves it as it is."""

    articulation: float | None = None  # how strongly the face speaks, 0.5 to 1.5
    liveliness: float | None = None  # how much head, brows and gaze move, 0 to 1.5

    @classmethod
    def of(cls, articulation: object = None, liveliness: object = None) -> Wishes:
        """Of what somebody has sent. Raises: StreamError, no number within its range."""
        try:
            return cls(
                None if articulation is None else check_articulation(articulation),
                None if liveliness is None else check_liveliness(liveliness),
            )
        except S2vError as error:
            raise StreamError(str(error)) from None

    @classmethod
    def in_message(cls, message: str) -> Wishes:
        """Of {"articulation": ...} or {"liveliness": ...}, or both, as the page sends it; anything else asks nothing.

        Raises: StreamError, as `of`.
        """
        try:
            body = json.loads(message) if len(message) <= MAX_MESSAGE_CHARACTERS else None
        except (json.JSONDecodeError, RecursionError):
            return AS_IT_IS
        names = {field.name for field in fields(cls)}
        return cls.of(**body) if isinstance(body, dict) and body.keys() <= names else AS_IT_IS

    def after(self, earlier: Wishes) -> Wishes:
        """These, and what of the earlier ones they leave as it is."""
        return Wishes(
            earlier.articulation if self.articulation is None else self.articulation,
            earlier.liveliness if self.liveliness is None else self.liveliness,
        )


AS_IT_IS = Wishes()
