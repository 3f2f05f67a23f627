from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("webdataset")
import webdataset
from made_shards import made_sample

from s2v.training.prepare.shards import write_shard
from s2v.training.shard_file import Sample, read_sample, sample_key


def same(one: Sample, other: Sample) -> bool:
    arrays = ("pcm", "motion", "aperture", "tract")
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name != "pcm") for name in arrays
    ) and all(getattr(one, name) == getattr(other, name) for name in vars(one) if name not in arrays)


SAMPLES = [
    made_sample("ann/one", 40, 1, pictures=(3, 20)),
    replace(made_sample("pretrain/5.1/0 é.v2", 30, 2, "bob"), transcript="NAÏVE \u2028 ~ {x}"),
    made_sample("a" * 200 + "/" + "b" * 120, 25, 3, known=True),
]


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[tuple[int, int, int]]]:
    """Bytes of a shard, and where each sample begins, where its speech ends and where it ends."""
    path = tmp_path_factory.mktemp("shard") / "train-000000.tar"
    entries = write_shard(path, 0, SAMPLES)
    return path.read_bytes(), [(e.offset, e.offset + e.speech_bytes, e.offset + e.all_bytes) for e in entries]


def test_a_clip_is_read_back_from_its_place(shard: tuple[bytes, list[tuple[int, int, int]]]) -> None:
    data, places = shard
    for wanted, (start, speech_end, end) in zip(SAMPLES, places, strict=True):
        assert same(read_sample(data[start:end]), wanted)
        assert same(read_sample(data[start:speech_end]), replace(wanted, pictures={}))
    assert [start for start, _, _ in places[1:]] == [end for _, _, end in places[:-1]]


# It leaves the file to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_a_shard_too(shard: tuple[bytes, list[tuple[int, int, int]]], tmp_path: Path) -> None:
    (tmp_path / "train-000000.tar").write_bytes(shard[0])
    found = list(webdataset.WebDataset(str(tmp_path / "train-000000.tar"), shardshuffle=False).decode("rgb8"))
    assert [sample["json"]["clip"] for sample in found] == [sample.clip for sample in SAMPLES]
    assert len({sample["__key__"] for sample in found}) == 3
    np.testing.assert_array_equal(found[0]["pcm.npy"], SAMPLES[0].pcm)
    assert found[0]["picture.00003.jpg"].shape == (112, 112, 3)


def test_a_key_has_no_dot_and_is_not_taken_for_webdatasets_own() -> None:
    assert sample_key("main/5.1/00001") == "main/5%2E1/00001"
    assert sample_key("__a/__b") == "%5F_a/%5F_b"
    names = ["a.b", "a%2Eb", "a/b", "__a", "_a", "%5F_a", "é", "e"]
    assert len({sample_key(name) for name in names}) == len(names)


def changed(data: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """A tar whose files `change` has changed, or left out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            file = old.extractfile(member)
            content = change(member.name.partition(".")[2], file.read() if file else b"")
            if content is not None:
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("motion.npy", None, "has no motion.npy"),
        ("motion.npy", npy(np.zeros((39, 10), np.float32)), "39 frames of motion"),
        ("motion.npy", npy(np.full((40, 10), np.inf, np.float32)), "values that are no numbers"),
        ("pcm.npy", npy(np.zeros(9)), "pcm is float64"),
        ("pcm.npy", npy(np.zeros(9, np.int16))[:-2], "cannot reshape|size"),
        ("pcm.npy", npy(np.array([{}], object)), "reshape|object|size"),
        ("json", b"{}", "whose clip"),
        ("json", b'{"clip": 1, "talker": "", "split": "", "transcript": "", "targets": [], "references": []}', "whose"),
        (
            "json",
            b'{"clip": "", "talker": "", "split": "", "transcript": "", "targets": [-1], "references": []}',
            "no fr",
        ),
    ],
)
def test_a_clip_that_is_not_whole_is_refused(
    shard: tuple[bytes, list[tuple[int, int, int]]], name: str, content: bytes | None, says: str
) -> None:
    data = shard[0][: shard[1][0][2]]
    with pytest.raises(ValueError, match=says):
        read_sample(changed(data, lambda found, old: content if found == name else old))


def test_other_bytes_are_no_clip(shard: tuple[bytes, list[tuple[int, int, int]]]) -> None:
    data, places = shard
    for other in (b"", b"no tar at all", data[: places[0][1] - 600], data[1 : places[0][2]], data):
        with pytest.raises(ValueError):
            read_sample(other)


def test_a_reference_is_far_from_its_target() -> None:
    sample = replace(SAMPLES[0], references=(0, 9, 10, 19, 30, 31))
    assert sample.references_of(20) == [0, 9, 10, 30, 31]
