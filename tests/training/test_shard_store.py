from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("webdataset")
pytest.importorskip("torch")
from made_shards import made_sample, make_shards, served

from s2v.errors import DataError
from s2v.training.shard_store import open_shards
from s2v.training.stored_clips import StoredClips, load_split, stored_clips

CLIPS = [made_sample(f"{talker}/{n}", 30 + n, n, pictures=(2, 20)) for n in range(4) for talker in ("ann", "bob")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of two talkers in three shards."""
    return make_shards(tmp_path_factory.mktemp("made") / "shards", train=CLIPS, val=CLIPS[:1])


def names(clips: Sequence[object]) -> list[str]:
    assert isinstance(clips, StoredClips)
    return [clip.name for clip in clips]


def test_every_clip_is_read_from_its_shard(folder: Path) -> None:
    clips = stored_clips(folder, "train")
    assert names(clips) == [sample.clip for sample in CLIPS]
    assert sorted(path.name for path in folder.glob("train-*.tar")) == [f"train-00000{n}.tar" for n in range(3)]
    for clip, sample in zip(clips, CLIPS, strict=True):
        np.testing.assert_allclose(clip.pcm, sample.pcm / 32768, atol=1e-7)
        np.testing.assert_array_equal(clip.motion, sample.motion)
    assert (clips.n_frames, clips.n_targets) == (sum(30 + n for n in range(4)) * 2, 16)
    assert names(clips[2:4]) == [sample.clip for sample in CLIPS[2:4]]


def test_the_clips_of_each_talker_are_known_without_reading_them(folder: Path, tmp_path: Path) -> None:
    for name in ("meta.json", "train.index"):
        shutil.copy(folder / name, tmp_path)
    talkers = stored_clips(tmp_path, "train").by_talker()
    assert {talker: len(clips) for talker, clips in talkers.items()} == {"ann": 4, "bob": 4}
    assert names(stored_clips(folder, "train").by_talker()["bob"]) == [f"bob/{n}" for n in range(4)]


def test_a_url_and_a_pattern_give_what_the_folder_gives(folder: Path) -> None:
    wanted = stored_clips(folder, "train")
    with served(folder) as (url, asked):
        for place in (url, f"{url}/", Path(url)):  # a Path makes one slash of two
            clips = stored_clips(place, "train")
            assert names(clips) == names(wanted)
            np.testing.assert_array_equal(clips[5].pcm, wanted[5].pcm)
        assert len(load_split(url, "val")[1]) == 2
        some = stored_clips(f"{url}/train-{{000000..000001}}.tar", "train")
        assert names(some) == names(wanted)[:6]
    assert all("bytes=" in request for request in asked if ".tar" in request)
    assert names(stored_clips(f"{folder}/train-000002.tar", "train")) == names(wanted)[6:]


def test_a_signature_goes_with_every_request_and_into_no_message(folder: Path) -> None:
    with served(folder) as (url, asked):
        assert len(stored_clips(f"{url}?sig=a/b", "train")[0].pcm)
        assert all("?sig=a/b" in request for request in asked)
    with pytest.raises(DataError, match=r"meta\.json cannot be read") as refused:  # nobody is there any more
        open_shards(f"{url}?sig=secret", waits_s=())
    assert "secret" not in str(refused.value)


def test_what_a_server_lacks_for_a_moment_is_asked_again(folder: Path) -> None:
    with served(folder, failures={"train.index": 2, "train-000000.tar": 3}) as (url, _):
        store = open_shards(url, waits_s=(0.0, 0.0))
        index = store.index("train")
        assert index is not None and len(index) == 8
        with pytest.raises(DataError, match=r"train-000000\.tar cannot be read \(503"):
            store.sample("train", index, 0, pictures=False)
        assert store.sample("train", index, 0, pictures=False).clip == "ann/0"


def test_a_server_that_gives_no_parts_of_files_is_refused(folder: Path) -> None:
    with served(folder, ranges=False) as (url, _), pytest.raises(DataError, match="no parts of files"):
        stored_clips(url, "train")[0]


def test_places_without_shards_are_refused(folder: Path, tmp_path: Path) -> None:
    with served(tmp_path) as (url, _), pytest.raises(DataError, match="404"):
        open_shards(url)
    with pytest.raises(DataError, match="from a folder or from https"):
        open_shards("s3://bucket/shards")
    with pytest.raises(DataError, match=r"holds no meta\.json"):
        open_shards(tmp_path)
    meta = json.loads((folder / "meta.json").read_text())
    others: tuple[dict[str, object], ...] = (
        {"format": "1"},
        {"shards": []},
        {"shards": {"train": -1}},
        {"shards": {"train": 10**9}},
    )
    for other in others:
        (tmp_path / "meta.json").write_text(json.dumps(meta | other))
        with pytest.raises(DataError, match="of another version: run s2v prepare-data again"):
            open_shards(tmp_path)


@pytest.mark.parametrize(("name", "says"), [("train-000001.tar", "ends before byte"), ("train.index", "prepare again")])
def test_damaged_files_are_one_line(folder: Path, tmp_path: Path, name: str, says: str) -> None:
    own = tmp_path / "shards"
    shutil.copytree(folder, own)
    (own / name).write_bytes((own / name).read_bytes()[:700])
    with pytest.raises(DataError, match=says):
        list(stored_clips(own, "train"))
    (own / name).unlink()
    with pytest.raises(DataError, match="is missing: copy all files"):
        list(stored_clips(own, "train"))


def test_a_shard_of_another_run_is_refused(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "shards"
    shutil.copytree(folder, own)
    other = make_shards(tmp_path / "other", train=[made_sample("ann/0", 29, pictures=(2, 20)), *CLIPS[1:]])
    shutil.copy(other / "train-000000.tar", own)
    with pytest.raises(DataError, match=r"prepare again|not as long as"):
        stored_clips(own, "train")[0]


def test_a_picture_of_another_size_is_refused(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "shards"
    shutil.copytree(folder, own)
    meta = json.loads((own / "meta.json").read_text())
    meta["spec"]["face_px"] = 96
    (own / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match=r"picture 2 of ann/0 .* is damaged"):
        load_split(own, "train")
