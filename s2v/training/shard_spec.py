"""What shards and the network that is trained on them must agree on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from s2v.spec import LipSyncSpec

# The shards hold sound, motion and pictures. Which part of the spectrum a network hears, how it is normalised and how
# far it looks ahead is chosen when it is trained.
_FIELDS = (
    *("sample_rate_hz", "fps", "motion_basis", "n_motion"),
    *("face_px", "face_left", "face_top", "face_size"),
)


def shard_spec(spec: LipSyncSpec) -> dict[str, Any]:
    """The fields of a spec that shards are made with: the `spec` entry of their meta.json."""
    fields = asdict(spec)
    return {name: fields[name] for name in _FIELDS}


def differences(stored: dict[str, Any], spec: LipSyncSpec) -> str:
    """Where the `spec` entry of shards is not what `spec` wants, in words; "" where they agree.

    Fields that shards of an older version name beside these say nothing about what is in them.
    """
    missing = "none"
    return ", ".join(
        f"{name} is {_shown(stored.get(name, missing))}, not {wanted}"
        for name, wanted in shard_spec(spec).items()
        if stored.get(name, missing) != wanted
    )


def _shown(value: object) -> str:
    """In one line, whatever somebody has put there."""
    return " ".join(str(value).split())[:60]
