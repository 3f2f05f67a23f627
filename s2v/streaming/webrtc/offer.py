"""What a caller sends, and what aiortc must not be given of it: half applied, some descriptions cannot be closed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, get_args

from s2v.errors import StreamError
from s2v.streaming.session.wishes import AS_IT_IS, Wishes
from s2v.streaming.webrtc.aiortc_internals import SessionDescription

Input = Literal["mic", "voice", "shared"]

MAX_SECTIONS = 16  # all but one audio, video and data section are rejected, which is little work
MAX_CANDIDATES = 128  # a browser with ten addresses sends about 60; the work grows with the square


@dataclass(frozen=True)
class Offer:
    """What a page posts: its session description, and what shall drive the face."""

    sdp: str
    input: Input
    face: str | None = None  # id of the face to show; None is the server's own
    wishes: Wishes = AS_IT_IS  # what they leave out is as the server has it
    mood: str | None = None  # how it looks before it says anything; None is as the server has it

    @classmethod
    def from_json(cls, text: str) -> Offer:
        """Raises: StreamError, naming what is wrong with it."""
        try:
            body = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise StreamError(f"the offer is not JSON ({str(error)[:80]}): send {{sdp, type, input}}") from None
        if not isinstance(body, dict) or body.get("type") != "offer" or not isinstance(body.get("sdp"), str):
            raise StreamError('the offer lacks "type": "offer" or "sdp": send {sdp, type, input}')
        if body.get("input") not in get_args(Input):
            raise StreamError(f'"input" is {str(body.get("input"))[:20]!r}: send one of {", ".join(get_args(Input))}')
        if (sections := len(re.findall("[\r\n]m=", body["sdp"]))) > MAX_SECTIONS:
            raise StreamError(f"the offer has {sections} media sections: send one audio, one video, one data channel")
        if not isinstance(face := body.get("face"), str | None):
            raise StreamError(f'"face" is {str(face)[:20]}: send the id of a face, or leave it out')
        wishes = Wishes.of(body.get("articulation"), body.get("liveliness"))
        if not isinstance(mood := body.get("mood"), str | None):
            raise StreamError(f'"mood" is {str(mood)[:20]}: send the name of one, or leave it out')
        return cls(body["sdp"], body["input"], face, wishes, mood)


def refuse_unusable(description: SessionDescription) -> None:
    """Raises: StreamError, its candidates would cost too much, or end the socket."""
    candidates = [candidate for section in description.media for candidate in section.ice_candidates]
    if len(candidates) > MAX_CANDIDATES:
        raise StreamError(f"the offer has {len(candidates)} candidates: send at most {MAX_CANDIDATES}")
    if wrong := [candidate.port for candidate in candidates if not 0 <= candidate.port <= 65_535]:
        raise StreamError(f"the offer has a candidate on port {str(wrong[0])[:20]}: send 0 to 65535")  # ends the socket
