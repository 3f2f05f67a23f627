"""Which faces lie on a device, and where.

A face is known by the memory of its identity arrays: nothing is compared and nothing is hashed. Whoever owns the
memory is watched by a weak reference, so that another face which comes to lie at the same address later is not taken
for it, and a face that nobody has any more gives its place away.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Tensors
from s2v.errors import BackendError

Key = tuple[int, ...]  # address of a row in each tensor


@dataclass(eq=False)
class _Face:
    slot: int
    owners: tuple[weakref.ref[NDArray[np.float32]], ...]
    call: int = 0  # the last that it took part in

    @property
    def is_gone(self) -> bool:
        return any(owner() is None for owner in self.owners)


@dataclass(frozen=True)
class NewFace:
    """One that has to be brought to its slot."""

    slot: int
    row: Tensors  # each (1, ...)


class FaceSlots:
    """Numbered places for faces. The least recently used face makes room when all are taken."""

    def __init__(self, at_first: int, at_most: int) -> None:
        """Args: how many places there are at first, and to how many they may grow while all faces are alive."""
        self.count = at_first
        self.new_faces = 0  # so far: each was an upload
        self._at_most = at_most
        self._faces: OrderedDict[Key, _Face] = OrderedDict()  # the least recently used first
        self._free: list[int] = list(range(at_first))[::-1]
        self._call = self._swept = 0

    def place(self, identities: Sequence[Tensors]) -> tuple[list[int], list[NewFace]]:
        """Find or make a place for each row of several identities, all of the same names.

        Returns: the slot of every row in order, and the faces that are not there yet; `count` may have grown.
        Raises: BackendError, more faces at once than there can be places.
        """
        self._call += 1
        slots: list[int] = []
        new: list[NewFace] = []
        try:
            for identity in identities:
                for key, row, repeats in _rows(identity):
                    face = self._faces.get(key)
                    if face is None or face.is_gone:
                        face = self._settle(key, identity, row)
                        new.append(NewFace(face.slot, {name: rows[row : row + 1] for name, rows in identity.items()}))
                    face.call = self._call
                    self._faces.move_to_end(key)
                    slots += [face.slot] * repeats
        except BackendError:
            self.forget(new)
            raise
        self.new_faces += len(new)
        return slots, new

    def forget(self, new: Sequence[NewFace]) -> None:
        """These could not be brought to their places."""
        lost = {face.slot for face in new}
        for key in [key for key, face in self._faces.items() if face.slot in lost]:
            self._free.append(self._faces.pop(key).slot)

    def _settle(self, key: Key, identity: Tensors, row: int) -> _Face:
        if self._swept != self._call:  # once a call: those who are gone make room first, so that memory is used again
            self._swept = self._call
            for gone in [key for key, face in self._faces.items() if face.is_gone]:
                self._free.append(self._faces.pop(gone).slot)
        if not self._free:
            self._make_room()
        owners = tuple(weakref.ref(_owner(identity[name])) for name in sorted(identity))
        face = self._faces[key] = _Face(self._free.pop(), owners)
        return face

    def _make_room(self) -> None:
        if self.count < self._at_most:
            larger = min(2 * self.count, self._at_most)
            self._free, self.count = list(range(self.count, larger))[::-1], larger
            return
        key, oldest = next(iter(self._faces.items()))
        if oldest.call == self._call:
            raise BackendError(f"one batch has more than {self._at_most} faces: hand in fewer rows at once")
        self._free.append(self._faces.pop(key).slot)


def _rows(identity: Tensors) -> Iterator[tuple[Key, int, int]]:
    """Address, number and count of each row; rows that are the same memory, one after the other, come once."""
    tensors = [identity[name] for name in sorted(identity)]
    places = [(tensor.__array_interface__["data"][0], tensor.strides[0]) for tensor in tensors]
    count = len(tensors[0])
    if count == 1 or not any(stride for _, stride in places):
        yield tuple(address for address, _ in places), 0, count
        return
    for row in range(count):
        yield tuple(address + row * stride for address, stride in places), row, 1


def _owner(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """The array at the end of a chain of views: while it lives, its memory is nobody else's."""
    while isinstance(tensor.base, np.ndarray):
        tensor = tensor.base
    return tensor
