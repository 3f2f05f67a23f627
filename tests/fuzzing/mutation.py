"""Inputs that are nearly right: what is known to work, changed in a few places by a seeded generator."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

INTERESTING = (0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 254, 255)
WIDE = (0, 1, -1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, -(2**63), 10**30, 1e308, -0.0, float("nan"), float("inf"), "", "0", "\x00"),
    *("../elsewhere/voice", "nan", "\ud800", "é" * 40, "x" * 5000, [], {}, [None], [[1]], {"": 0}, [0.5] * 13),
)
MAX_BYTES = 1 << 20


class Mutator:
    """Changes bytes, text and JSON; the same generator makes the same changes."""

    def __init__(self, dice: random.Random, tokens: Sequence[bytes] = ()) -> None:
        """Args: tokens: what means something in this format; put in at random places."""
        self.dice = dice
        self._tokens = tokens

    def changed(self, data: bytes, others: Sequence[bytes] = ()) -> bytes:
        """Up to eight changes of bytes. Args: others: what parts may be taken from."""
        for _ in range(self.dice.choice((1, 1, 1, 2, 2, 4, 8))):
            data = self._once(data, others)
        return data[:MAX_BYTES]

    def _once(self, data: bytes, others: Sequence[bytes]) -> bytes:
        dice, at = self.dice, self.dice.randrange(len(data) + 1)
        end = min(len(data), at + dice.choice((1, 2, 4, 8, 32, 256, 4096)))
        match dice.randrange(10):
            case 0:
                return data[:at] + bytes([dice.choice(INTERESTING)]) + data[at + 1 :]
            case 1 if at < len(data):
                return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
            case 2:
                return data[:at] + data[end:]
            case 3:
                return data[:end] + data[at:end] * dice.choice((1, 1, 2, 30)) + data[end:]
            case 4:
                return data[:at] + dice.randbytes(dice.choice((1, 4, 64))) + data[at:]
            case 5:
                return data[:at] if dice.random() < 0.5 else data[:at] + bytes(len(data) - at)
            case 6:
                form = dice.choice(("<H", ">H", "<I", ">I"))
                number = struct.pack(form, dice.choice(WIDE) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
                return data[:at] + number + data[at + len(number) :]
            case 7 if self._tokens:
                token = dice.choice(self._tokens)
                return data[:at] + token + data[at + dice.choice((0, len(token))) :]
            case 8 if others:
                other = dice.choice(others)
                return data[:at] + other[dice.randrange(len(other) + 1) :]
            case _:
                return data[:at] + dice.randbytes(end - at) + data[end:]

    def lines(self, text: bytes) -> bytes:
        """Lines left out, doubled, swapped, or changed each by itself; rarely bytes anywhere."""
        lines = text.splitlines(keepends=True)
        for _ in range(self.dice.choice((1, 1, 2, 3, 6))):
            if not lines or self.dice.random() < 0.1:
                return self.changed(b"".join(lines))
            one, other = self.dice.randrange(len(lines)), self.dice.randrange(len(lines))
            match self.dice.randrange(6):
                case 0:
                    del lines[one]
                case 1:
                    lines.insert(other, lines[one])
                case 2:
                    lines[one], lines[other] = lines[other], lines[one]
                case 3 if self._tokens:
                    head, colon, _ = lines[one].partition(self.dice.choice((b":", b"=", b" ", b"|", b"\t")))
                    lines[one] = head + colon + self.dice.choice(self._tokens) + b"\r\n"
                case _:
                    lines[one] = self.changed(lines[one])
        return b"".join(lines)

    def json(self, text: bytes) -> bytes:
        """Values replaced by odd ones, keys left out or added; sometimes the text itself is changed."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self.changed(text)
        if self.dice.random() < 0.3:
            return self.changed(text)
        for _ in range(self.dice.choice((1, 1, 2, 3))):
            value = self._odd(value)
        return json.dumps(value).encode()

    def _odd(self, value: Any) -> Any:
        inside = isinstance(value, dict | list) and len(value) and self.dice.random() < 0.85
        if not inside:
            return self._like(value) if self.dice.random() < 0.4 else deepcopy(self.dice.choice(ODD_VALUES))
        key = self.dice.choice(list(value) if isinstance(value, dict) else range(len(value)))
        match self.dice.randrange(8):
            case 0:
                del value[key]
            case 1 if isinstance(value, dict):
                value[self.dice.choice(("", "x", "type", *value))] = deepcopy(self.dice.choice(ODD_VALUES))
            case 1:
                value.append(deepcopy(self.dice.choice(ODD_VALUES)))
            case _:
                value[key] = self._odd(value[key])
        return value

    def _like(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.changed(value.encode(errors="replace")).decode(errors="replace")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return self.dice.choice((-value, value * 1000, value + 1, value - 1, value / 3, str(value), [value]))

    def npz(self, data: bytes, others: Sequence[bytes]) -> bytes:
        """A NumPy archive whose arrays have other values, shapes, kinds or names; sometimes only other bytes."""
        if self.dice.random() < 0.2:
            return self.changed(data, others)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error):
            return self.changed(data, others)
        for _ in range(self.dice.choice((1, 1, 2, 3))):
            if members:
                self._change_member(members)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return out.getvalue()

    def tar(self, data: bytes, others: Sequence[bytes]) -> bytes:
        """A tar whose files have other contents, arrays or names; sometimes only other bytes."""
        if self.dice.random() < 0.2:
            return self.changed(data, others)
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                members = {one.name: file.read() for one in archive if (file := archive.extractfile(one))}
        except (tarfile.TarError, OSError, ValueError, UnicodeError):
            return self.changed(data, others)
        for _ in range(self.dice.choice((1, 1, 2, 3))):
            if members:
                self._change_member(members)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()

    def _change_member(self, members: dict[str, bytes]) -> None:
        name = self.dice.choice(list(members))
        match self.dice.randrange(8):
            case 0:
                del members[name]
            case 1:
                members[name] = members[self.dice.choice(list(members))]
            case 2:
                members[name] = self.changed(members[name])
            case 3:  # the header alone: what it promises is not there
                members[name] = self.changed(members[name][:128]) + members[name][128:]
            case _:
                try:
                    array = np.load(io.BytesIO(members[name]), allow_pickle=False)
                except Exception:  # what NumPy raises on a member that was changed before
                    members[name] = self.changed(members[name])
                    return
                out = io.BytesIO()
                np.save(out, self._array(array), allow_pickle=False)
                members[name] = out.getvalue()

    def _array(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        dice = self.dice
        changes: list[Callable[[], Any]] = [
            lambda: array[:-1] if array.ndim else array[None],
            lambda: array[: dice.randrange(3)] if array.ndim else array,
            lambda: array[None],
            lambda: array.ravel(),
            lambda: array.astype(dice.choice(("f8", "f4", "i8", "u1", "U8", "c8", "?"))),
            lambda: np.zeros(dice.choice(((), (0,), (0, 10), (1, 1), (3, 0, 2))), array.dtype),
            lambda: np.array(dice.choice(("", "x" * 300, "../elsewhere/voice", 7, -1, 2**62, float("nan")))),
            lambda: np.concatenate([array, array]) if array.ndim else array,
            lambda: array[::-1] if array.ndim else array,
        ]
        if array.size and array.dtype.kind in "fiu" and dice.random() < 0.6:
            copy = array.copy()
            odd: tuple[Any, ...] = (-1, 0, 1, 2**15, 2**31, 2**62)
            odd = (*odd, np.nan, np.inf, -np.inf, 1e38) if array.dtype.kind == "f" else odd
            with np.errstate(all="ignore"):
                value = np.asarray(dice.choice(odd)).astype(array.dtype, casting="unsafe")
            copy.flat[[dice.randrange(array.size) for _ in range(dice.choice((1, 3, 50)))]] = value
            return copy
        with np.errstate(all="ignore"):
            try:
                return np.asarray(dice.choice(changes)())
            except (ValueError, TypeError):  # what it holds cannot become that
                return array


def with_right_checksums(png: bytes) -> bytes:
    """A PNG file whose parts all have the checksum they should, so that a decoder looks into them."""
    parts, at = [png[:8]], 8
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        end = min(at + 8 + length, len(png) - 4)
        body = png[at + 4 : end]
        parts.append(struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body)))
        at = end + 4
    return b"".join(parts) + png[at:]
