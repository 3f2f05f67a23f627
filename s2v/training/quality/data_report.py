"""The report and the card of a features folder, while clips are extracted into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from s2v.files import write_whole
from s2v.training.quality.card import DataCard, card_of
from s2v.training.quality.clip_records import REPORT_NAME, ClipRecord, from_line, read_records, record_of, write_records
from s2v.training.quality.copies import encoded_again
from s2v.training.quality.findings import Refusal
from s2v.training.quality.thresholds import Thresholds

CARD_JSON, CARD_PICTURE = "card.json", "card.png"
_LEAST_NEW = 50  # records, before the report is written in between


class DataReport:
    """What is known of the clips of one folder. Written now and then, and at the end, whole or not at all."""

    def __init__(self, features: Path, limits: Thresholds) -> None:
        self._folder = features
        self._limits = limits
        self._records = read_records(features / REPORT_NAME)
        self._unwritten = 0
        self._changed = False

    def record(self, clip_id: str) -> ClipRecord | None:
        """What was found of a clip."""
        return self._records.get(clip_id)

    def known_failure(self, clip_id: str, file: Path) -> Refusal | None:
        """Why a clip cannot be used, if that is known and nothing has changed since."""
        record = self._records.get(clip_id)
        if record is None or record.refusal is None or not record.still_holds(file, self._limits):
            return None
        original = self._records.get(record.copy_of)
        if record.copy_of and (original is None or original.refusal is not None):
            return None  # what it was a copy of is gone
        return record.refusal

    def add(self, record: ClipRecord) -> None:
        """Put down a clip, or what is now known of it."""
        self._records[record.id] = record
        self._changed = True
        self._unwritten += 1
        if self._unwritten >= max(_LEAST_NEW, len(self._records) // 10):  # each line is written a few times at most
            self.save()

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Drop the clips, by their ids, that are no longer there."""
        gone = [clip_id for clip_id in self._records if is_gone(clip_id)]
        for clip_id in gone:
            del self._records[clip_id]
        self._changed |= bool(gone)

    def restore(self, clip_id: str, line: str) -> None:
        """Put down a clip that a run extracted which ended before it wrote the report.

        Args: line: of its feature file, which may have had another name then; "" does nothing.
        """
        if (record := from_line(line)) is not None:
            # Of a file that was moved or copied here, nobody knows whether it is compared with itself.
            self.add(record if record.id == clip_id else replace(record, id=clip_id, prints=None))

    def save(self) -> None:
        """Write the report as it is."""
        if self._changed:
            write_records(self._folder / REPORT_NAME, self._records.values())
        self._unwritten = 0

    def name_talkers(self, talkers: Mapping[str, str]) -> None:
        """Take over who talks in which clip, where somebody has changed it since."""
        for clip_id, record in self._records.items():
            if (talker := talkers.get(clip_id, record.talker)) != record.talker:
                self._records[clip_id] = replace(record, talker=talker)
                self._changed = True

    def refused_copy(self, clip_id: str, file: Path, talker: str, refusal: Refusal, original: str) -> ClipRecord:
        """The record of a file that need not be looked at."""
        return replace(record_of(clip_id, file, talker, self._limits), refusal=refusal, copy_of=original)

    def refuse_copies(self) -> list[ClipRecord]:
        """The clips that are another one encoded again, refused; to be added. The largest file is the original."""
        kept = [record for record in self._records.values() if record.refusal is None]
        kept.sort(key=lambda record: (-record.figures.get("length_s", 0.0), -record.size_bytes, record.id))
        prints = {record.id: record.prints for record in kept if record.prints is not None}
        refused = []
        for clip_id, original in encoded_again(prints).items():
            refusal = Refusal("duplicate", f"it is {original} once more: the same sound and the same lips")
            refused.append(replace(self._records[clip_id], refusal=refusal, copy_of=original))
        return refused

    def finish(self) -> DataCard:
        """Write report, card and its picture, where something has changed since they were last written."""
        card = card_of(self._records.values())
        self.save()
        text, path = json.dumps(card.as_dict(), indent=1) + "\n", self._folder / CARD_JSON
        picture = self._folder / CARD_PICTURE
        # By what is there, not by what this run has done: one that was killed may have left the card of before.
        stale = self._changed or not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text
        if find_spec("matplotlib") and (stale or not picture.exists()):
            from s2v.training.quality.card_picture import draw_card

            draw_card(card, self._records.values(), self._limits, picture)
        if stale:
            write_whole(path, text)  # last: with it the card is whole
        self._changed = False
        return card
