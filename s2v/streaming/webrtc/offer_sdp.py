"""A caller's session description: what of it is answered, what of it is rejected, and what is wrong with it.

Browsers, FFmpeg, GStreamer, Pion and telephone gateways write the same thing in many ways; aiortc reads one of them.
So sections are brought into that form; one audio, one video and one data section are answered, the others get port 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from s2v.errors import StreamError

ANSWERED = ("audio", "video", "application")
HASHES = {"sha-512": 64, "sha-384": 48, "sha-256": 32}  # bytes; aiortc knows these, the strongest first
CREDENTIALS = {"a=ice-ufrag:": 4, "a=ice-pwd:": 22}  # characters, at least (RFC 8839)
LONGEST_CREDENTIAL = 256
MOST_EXTENSIONS = 255  # the number of one is a byte
SETUPS = ("actpass", "active", "passive")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
STATIC = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000"}  # RFC 3551: may come without a=rtpmap
_KIND = re.compile(r"m=(\S+) (\d+)(?:/\d+)? (\S+) (.+)")
_FINGERPRINT = re.compile(r"a=fingerprint:\s*(\S+)\s+([0-9A-Fa-f:]+)\s*", re.IGNORECASE)
_INHERITED = ("a=fingerprint:", "a=setup:", "a=ice-ufrag:", "a=ice-pwd:")
_LEFT_OUT = ("c=", "a=rtcp:")  # where media goes without ICE: may be a name, and is not used


@dataclass(eq=False)
class Section:
    """One `m=` line and what follows."""

    lines: list[str]
    kind: str
    port: int

    @property
    def mid(self) -> str:
        return self.value("a=mid:") or ""

    @property
    def rejected(self) -> bool:
        """By the caller: port 0, unless it lies in another's bundle; or an application that is no data channel."""
        foreign = self.kind == "application" and "SCTP" not in self.lines[0]
        return foreign or (self.port == 0 and "a=bundle-only" not in self.lines)

    @property
    def direction(self) -> str:
        return next((line[2:] for line in reversed(self.lines) if line[2:] in DIRECTIONS), "sendrecv")

    def value(self, name: str) -> str | None:
        return next((line[len(name) :].strip() for line in self.lines if line.startswith(name)), None)


@dataclass(frozen=True)
class OfferSdp:
    """An offer in the form that aiortc reads, and how the answer to it becomes one to what was sent."""

    text: str
    sections: tuple[Section, ...]  # all that were sent, in their order ...
    answered: tuple[Section, ...]  # ... and those of them that `text` has

    @classmethod
    def read(cls, sdp: str) -> OfferSdp:
        """Raises: StreamError, one line that says what is wrong with it and what to send."""
        session, sections = _cut(sdp)
        answered = _answered(sections)
        for section in answered:
            _inherit(section, session)
            _check(section)
            section.lines = [line for line in map(_readable(section), section.lines) if line is not None]
        kept = [line for line in session if not line.startswith((*_INHERITED, *_LEFT_OUT))]
        kept = _bundle(kept, sections, answered)
        lines = [*kept, *(line for section in answered for line in section.lines), ""]
        return cls("\r\n".join(lines), tuple(sections), tuple(answered))

    def answer(self, sdp: str) -> str:
        """aiortc's answer, with the sections that were rejected in their places."""
        session, ours = _cut(sdp)
        waiting = iter(ours)
        lines = list(session)
        for section in self.sections:
            if section in self.answered:
                lines += next(waiting).lines
            else:
                match = _KIND.fullmatch(section.lines[0])
                assert match is not None
                lines += [f"m={match[1]} 0 {match[3]} {match[4]}", "c=IN IP4 0.0.0.0", "a=inactive"]
                lines += [f"a=mid:{section.mid}"] if section.mid else []
        return "\r\n".join([*lines, ""])


def _cut(sdp: str) -> tuple[list[str], list[Section]]:
    session: list[str] = []
    sections: list[Section] = []
    for line in filter(None, sdp.splitlines()):  # as aiortc does: it must not find sections that nobody has checked
        if line.startswith("m="):
            if (match := _KIND.fullmatch(line)) is None:
                raise StreamError(f"the offer's line {line[:60]!r} cannot be read: send m=KIND PORT PROTOCOL FORMATS")
            sections.append(Section([line], match[1], int(match[2])))
        else:
            (sections[-1].lines if sections else session).append(line)
    return session, sections


def _answered(sections: list[Section]) -> list[Section]:
    """The first of each kind that the caller uses."""
    first = {kind: next((s for s in sections if s.kind == kind and not s.rejected), None) for kind in ANSWERED}
    if first["audio"] is None or first["video"] is None:
        found = [section.kind for section in sections if not section.rejected]
        raise StreamError(
            f"the offer has {found or 'no media'}: send one audio and one video section, the video one recvonly"
        )
    if first["video"].direction in ("sendonly", "inactive"):
        raise StreamError(f"the offer's video is {first['video'].direction}: make it recvonly, or no face can be sent")
    return [section for section in sections if section in first.values()]


def _inherit(section: Section, session: list[str]) -> None:
    """What the session says of all sections, for one that says nothing of it."""
    for name in _INHERITED:
        if section.value(name) is None:
            section.lines += [line for line in session if line.startswith(name)]
    if section.value("a=setup:") is None:
        section.lines.append("a=setup:active")  # RFC 4145: what an offer without it means


def _check(section: Section) -> None:
    what = f"the offer's {section.kind} section"
    if (setup := section.value("a=setup:")) not in SETUPS:
        raise StreamError(f"{what} has a=setup:{str(setup)[:20]}: send actpass, the connection is wanted now")
    section.lines = [
        *(line for line in section.lines if not line.startswith("a=fingerprint:")),
        *_fingerprints(section),
    ]
    if not section.value("a=ice-ufrag:") or not section.value("a=ice-pwd:"):
        raise StreamError(f"{what} has no a=ice-ufrag or no a=ice-pwd: send what the browser made")
    for name, least in CREDENTIALS.items():
        if not least <= len(value := section.value(name) or "") <= LONGEST_CREDENTIAL:
            raise StreamError(
                f"{what} has {len(value)} characters of {name[:-1]}: send {least} to {LONGEST_CREDENTIAL}"
            )
    if section.kind == "application":
        _check_port(section)
    elif "a=rtcp-mux" not in section.lines:
        raise StreamError(f"{what} has no a=rtcp-mux: send media and its reports over one port")


def _check_port(section: Section) -> None:
    """Of a data channel: where none is named, that of an older way to write it, or what browsers take."""
    port = section.value("a=sctp-port:")
    if port is None:
        port = ((section.value("a=sctpmap:") or "").split() or ["5000"])[0]
        section.lines.append(f"a=sctp-port:{port}")
    if not port.isdecimal() or not 1 <= int(port[:6]) <= 65_535:
        raise StreamError(f"the offer's a=sctp-port is {port[:20]!r}: send 1 to 65535, browsers send 5000")


def _fingerprints(section: Section) -> list[str]:
    """Those of the strongest hash that is known: one of them must fit (RFC 8122), and weaker ones are not asked.

    aiortc wants all to fit, of every hash, so a caller with several certificates could not connect.
    """
    found = [match for line in section.lines if (match := _FINGERPRINT.fullmatch(line)) is not None]
    if not found or len(found) < sum(line.startswith("a=fingerprint:") for line in section.lines):
        raise StreamError("the offer has a media section without a fingerprint: send what the browser made")
    names = [match[1].lower() for match in found]
    strongest = next((name for name in HASHES if name in names), None)
    if strongest is None:
        raise StreamError(f"the offer's fingerprints are {', '.join(names)[:40]}: send one of sha-256")
    values = [match[2].upper() for match, name in zip(found, names, strict=True) if name == strongest]
    for value in values:
        if re.fullmatch("[0-9A-F]{2}(:[0-9A-F]{2})*", value) is None or len(value) != 3 * HASHES[strongest] - 1:
            raise StreamError(f"the offer's {strongest} fingerprint has not {HASHES[strongest]} bytes: send it whole")
    if len(set(values)) > 1:
        raise StreamError(
            f"the offer has {len(set(values))} {strongest} fingerprints: send that of the one certificate"
        )
    return [f"a=fingerprint:{strongest} {values[0]}"]


def _readable(section: Section) -> Callable[[str], str | None]:
    """What aiortc's parser can take of a line: extensions' attributes and formats without a name trip it."""
    named = {match[1] for line in section.lines if (match := re.match(r"a=rtpmap:(\d+) ", line))}
    formats = section.lines[0].split()[3:]
    for number in set(formats) & set(STATIC) - named if section.kind == "audio" else ():
        section.lines.append(f"a=rtpmap:{number} {STATIC[number]}")
        named.add(number)

    def read(line: str) -> str | None:
        if line.startswith(_LEFT_OUT):
            return None
        if line.startswith("a=extmap:"):
            match = re.match(r"a=extmap:(\d+)(?:/\w+)? \S+", line)
            return match[0] if match is not None and 1 <= int(match[1][:4]) <= MOST_EXTENSIONS else None
        if (match := re.match(r"a=fmtp:(\d+) ", line)) is not None and match[1] not in named:
            return None
        if line.startswith("a=ssrc:") and ":" not in line[len("a=ssrc:") :]:
            return None
        return re.sub(r"^m=(\S+ \d+)/\d+ ", r"m=\1 ", line)

    return read


def _bundle(session: list[str], sections: list[Section], answered: list[Section]) -> list[str]:
    """The groups of the sections that are answered; all of them must lie in one."""
    mids, names = [section.mid for section in answered], {section.mid for section in sections}
    if len({section.mid for section in sections if not section.rejected}) < sum(not s.rejected for s in sections):
        raise StreamError(f"the offer's sections are called {str(mids)[:60]}: give each an a=mid of its own")
    group = next((line.split()[1:] for line in session if line.startswith("a=group:BUNDLE")), [])
    if not set(group) <= names:
        raise StreamError(f"the offer bundles {str(group)[:60]}: name sections that it has")
    if not set(mids) <= set(group):
        raise StreamError(f"the offer does not bundle {str(mids)[:60]}: send a=group:BUNDLE {' '.join(mids)[:60]}")
    kept = " ".join(name for name in group if name in mids)
    return [f"a=group:BUNDLE {kept}" if line.startswith("a=group:BUNDLE") else line for line in session]
