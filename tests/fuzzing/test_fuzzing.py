"""Inputs that are nearly right are taken or refused in one line: what was found before, and some of a fixed seed.

`scripts/fuzz` tries more of them.
"""

from __future__ import annotations

import io
import json
import random
import sys
import zipfile
from pathlib import Path

import pytest
from fuzzing.campaign import KEPT, Run, _found, fuzz, kept_inputs
from fuzzing.mutation import Mutator
from fuzzing.target import Target
from fuzzing.worker import Outcome, _Taker, inputs, targets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2v.engine.backends.model_file import read_spec
from s2v.errors import DataError, S2vError
from s2v.spec import LipSyncSpec
from s2v.streaming.session.wishes import Wishes
from s2v.streaming.webrtc.offer import Offer
from s2v.training.train.config import read_config

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts memory and opened files as Linux tells them")

TOGETHER = ("photo", "audio", "model", "config", "meta", "list", "shard", "shard-index", "features", "message")
SECONDS = 1.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("name", [folder.name for folder in sorted(KEPT.glob("*")) if folder.is_dir()])
def test_what_was_found_once_is_found_no_more(name: str) -> None:
    run = fuzz(name, replay=True)
    assert run.finds == {} and run.inputs == len(kept_inputs(name)) > 0


@pytest.mark.parametrize("name", TOGETHER)
def test_inputs_that_are_nearly_right_are_taken_or_refused(name: str) -> None:
    run = fuzz(name, seed=1, seconds=SECONDS)
    assert [f"{find.what}: {find.details}" for find in run.finds.values()] == []
    assert run.worked > 0 and run.refused > 0 and run.worked + run.refused == run.inputs, (
        "some of both, or it is shallow"
    )


def test_the_same_seed_makes_the_same_inputs_wherever_it_goes_on() -> None:
    target = targets()["config"]
    seeds = target.seeds()
    some = [data for (_, data), _ in zip(inputs(target, seeds, 3, 0), range(20), strict=False)]
    assert [data for (_, data), _ in zip(inputs(target, seeds, 3, 10), range(10), strict=False)] == some[10:]
    others = [data for (_, data), _ in zip(inputs(target, seeds, 4, 0), range(20), strict=False)]
    assert len(set(some)) > 10 and others != some


class _TwoLinesError(S2vError):
    def __str__(self) -> str:
        return "no\nno"


def _attempt(data: bytes, folder: Path) -> None:
    """What a target may do wrong, by its input."""
    match data:
        case b"refuses":
            raise DataError("no")
        case b"two lines":
            raise _TwoLinesError
        case b"another error":
            raise KeyError("key")
        case b"leaves a file":
            (folder / ".s2v-0.part").write_text("half")
            raise DataError("no")
        case b"reaches out":
            (folder / "../elsewhere/voice.wav").read_bytes()
        case b"memory":
            assert b"x" * (100 << 20)
        case _:
            (folder / "input").write_bytes(data)


@pytest.mark.parametrize(
    ("data", "kind", "what"),
    [
        ("works", "worked", ""),
        ("refuses", "refused", ""),
        ("two lines", "find", "_TwoLinesError of more than one line"),
        ("another error", "find", "KeyError in test_fuzzing.py:_attempt"),
        ("leaves a file", "find", "left a file behind"),
        ("reaches out", "find", "opened a file outside of its folder"),
        ("memory", "find", "memory"),
    ],
)
def test_what_must_not_be_is_seen(taker: _Taker, data: str, kind: str, what: str) -> None:
    outcome = taker.take(7, data.encode())
    assert (outcome.index, outcome.kind, outcome.what) == (7, kind, what)
    assert outcome.data == (data.encode() if kind == "find" else b"")


@pytest.fixture(scope="module")
def taker(tmp_path_factory: pytest.TempPathFactory) -> _Taker:
    target = Target("fake", lambda: [], _attempt, names=("input",))
    return _Taker(target, tmp_path_factory.mktemp("fuzz"), memory_bytes=64 << 20)


def test_a_cause_is_told_once_and_counted() -> None:
    run = Run("config")
    finds = []
    for index in range(3):
        _found(run, Outcome(index, "find", "KeyError", "", b"%d" % index), Path(), lambda _, find: finds.append(find))
    assert [(find.data, find.times) for find in finds] == [(b"0", 3)]


def test_a_changed_archive_can_mostly_still_be_opened() -> None:
    mutator, target = Mutator(random.Random(0)), targets()["features"]
    seeds = target.seeds()
    whole = [zipfile.is_zipfile(io.BytesIO(mutator.npz(seeds[0], seeds))) for _ in range(50)]
    assert sum(whole) > 30, "or nothing but zipfile is tried"


@given(JSON, st.sampled_from(["sdp", "type", "input", "face", "articulation", "liveliness", "mood"]))
@settings(max_examples=60, deadline=None)
def test_an_offer_of_any_values_is_taken_or_refused(value: object, name: str) -> None:
    body = {"sdp": "v=0\nm=a\nm=b", "type": "offer", "input": "mic", name: value}
    for text in (json.dumps(body), json.dumps(value)):
        _takes_or_refuses(lambda text=text: Offer.from_json(text))
        _takes_or_refuses(lambda text=text: Wishes.in_message(text))


@given(JSON, st.sampled_from(sorted(LipSyncSpec.__dataclass_fields__)))
@settings(max_examples=60, deadline=None)
def test_a_spec_of_any_values_is_taken_or_refused(value: object, name: str) -> None:
    body = json.loads(LipSyncSpec().to_json()) | {name: value}
    _takes_or_refuses(lambda: read_spec(json.dumps(body)))
    _takes_or_refuses(lambda: read_spec(json.dumps(value)))


@given(
    st.dictionaries(
        st.sampled_from(["network", "epochs", "seed", "bfloat16", "x"]),
        st.sampled_from(["1", "-1", "0.5", "nan", '"s2v"', "[]", "true", "1979-05-27", "{}"]),
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_config_of_any_values_is_taken_or_refused(tmp_path: Path, values: dict[str, str]) -> None:
    path = tmp_path / "train.toml"
    path.write_text("\n".join(f"{name} = {value}" for name, value in values.items()))
    _takes_or_refuses(lambda: read_config(path))


def _takes_or_refuses(read: object) -> None:
    assert callable(read)
    try:
        read()
    except S2vError as error:
        assert str(error) and "\n" not in str(error)
