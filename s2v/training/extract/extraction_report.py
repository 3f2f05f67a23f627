"""What becomes of each clip of an extraction: known from an earlier run, found by this one, and put down on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from s2v.errors import DataError
from s2v.training.dataset.sources import Source, feature_path
from s2v.training.extract.feature_file import recorded_in
from s2v.training.quality.card import DataCard
from s2v.training.quality.clip_records import ClipRecord
from s2v.training.quality.copies import equal_files
from s2v.training.quality.data_report import DataReport
from s2v.training.quality.findings import Refusal
from s2v.training.quality.thresholds import Thresholds

_log = logging.getLogger("s2v")


class ExtractionReport:
    """Of one run of `extract_features`. Without limits there are no gates, and nothing is written."""

    def __init__(self, sources: Sequence[Source], features: Path, limits: Thresholds | None, whole: bool) -> None:
        """
        Args: whole: the sources are all there are; other clips are forgotten, unless their features are there.
        """
        self.why: dict[str, str] = {}  # clip id -> the reason why it cannot be used
        self.failed_before = 0  # of them, those that were known
        self._sources = sources
        self._features = features
        self._data = None if limits is None else DataReport(features, limits)
        if self._data is not None and whole:
            known = {source.clip_id for source in sources}
            self._data.forget(lambda clip_id: clip_id not in known and not self._path(clip_id).exists())

    def to_do(self, talkers: dict[str, str], retry: bool) -> list[Source]:
        """The clips that must be looked at.

        Args: talkers: clip id -> who talks in it, as far as is known now. retry: also at those that failed before.
        """
        there = {source for source in self._sources if self._path(source.clip_id).exists()}
        new = [source for source in self._sources if source not in there]
        if self._data is None:
            return new
        for source in there:
            self._restore(source.clip_id)
        self._data.name_talkers(talkers)
        for source in () if retry else new:
            if (refusal := self._data.known_failure(source.clip_id, source.path)) is not None:
                self.why[source.clip_id] = refusal.reason
        self.failed_before = len(self.why)
        self._refuse_equal_files([source for source in new if source.clip_id not in self.why], talkers)
        return [source for source in new if source.clip_id not in self.why]

    def add(self, record: ClipRecord) -> None:
        """Put down a clip that was looked at."""
        if record.refusal is not None:
            self.why[record.id] = record.refusal.reason
            _log.warning("skipped %s: %s", record.id, record.refusal.reason)
        if self._data is not None:
            self._data.add(record)

    def refuse_copies(self) -> None:
        """Skip the clips that are others encoded again, and remove their features."""
        for record in () if self._data is None else self._data.refuse_copies():
            self._path(record.id).unlink(missing_ok=True)
            self.add(record)

    def save(self) -> None:
        """Write what is known so far."""
        if self._data is not None:
            self._data.save()

    def finish(self, talkers: dict[str, str]) -> DataCard | None:
        """Write what is known, and the card. Args: talkers: clip id -> who talks in it, as is known in the end."""
        if self._data is None:
            return None
        self._data.name_talkers(talkers)
        return self._data.finish()

    def _path(self, clip_id: str) -> Path:
        return feature_path(clip_id, self._features)

    def _restore(self, clip_id: str) -> None:
        """What was found of a clip whose features are there, though its line in the report is not."""
        assert self._data is not None
        record = self._data.record(clip_id)
        if record is None or record.refusal is not None:
            try:
                self._data.restore(clip_id, recorded_in(self._path(clip_id)))
            except DataError as error:
                _log.warning("%s", error)

    def _refuse_equal_files(self, new: Sequence[Source], talkers: dict[str, str]) -> None:
        assert self._data is not None
        ids = {source.path: source.clip_id for source in self._sources}
        usable = [source.path for source in self._sources if source.clip_id not in self.why]
        for path, original in equal_files(usable, {source.path for source in new}).items():
            refusal = Refusal("duplicate", f"it is {ids[original]} once more: the same file")
            self._path(ids[path]).unlink(missing_ok=True)
            self.add(self._data.refused_copy(ids[path], path, talkers.get(ids[path], ""), refusal, ids[original]))
