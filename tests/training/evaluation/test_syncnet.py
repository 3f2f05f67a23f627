from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import voice

pytest.importorskip("torch")
import torch

python_speech_features = pytest.importorskip("python_speech_features")

from torch import Tensor, nn  # noqa: E402

from s2v.errors import DataError  # noqa: E402
from s2v.training.evaluation.syncnet import (  # noqa: E402
    CROP_PX,
    SyncNet,
    errors_of,
    load_syncnet,
    mfcc_of_syncnet,
    sync_errors,
)


def test_its_mfcc_are_those_of_python_speech_features() -> None:
    pcm = np.round(voice(1.3) * 32768).astype(np.int16)
    wanted = python_speech_features.mfcc(pcm, 16_000)
    found = mfcc_of_syncnet((pcm / 32768).astype(np.float32))
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-2)


def test_the_layout_is_that_of_the_public_weights() -> None:
    state = SyncNet().state_dict()
    assert state["netcnnaud.18.weight"].shape == (512, 256, 5, 4)
    assert state["netcnnlip.0.weight"].shape == (96, 3, 5, 7, 7)
    assert state["netcnnlip.18.weight"].shape == (512, 256, 1, 6, 6)
    assert state["netfcaud.3.weight"].shape == state["netfclip.3.weight"].shape == (1024, 512)
    heads = {key.rsplit(".", 1)[0] for key in state if key.startswith("netcnnaud")}
    assert heads == {f"netcnnaud.{i}" for i in (0, 1, 4, 5, 8, 9, 11, 12, 14, 15, 18, 19)}


def test_weights_are_read_and_give_one_code_for_five_frames(tmp_path: Path) -> None:
    network = SyncNet().eval()
    torch.save(network.state_dict(), tmp_path / "weights.model")
    loaded = load_syncnet(tmp_path / "weights.model")
    lips, audio = torch.rand(1, 3, 5, CROP_PX, CROP_PX), torch.randn(1, 1, 13, 20)
    with torch.inference_mode():
        for found, wanted in zip(loaded(lips, audio), network(lips, audio), strict=True):
            assert found.shape == (1, 1024)
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_a_file_that_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / f"bad{content!r:.4}".replace("'", "")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="SyncNet"):
        load_syncnet(path)


def test_lips_in_time_are_near_and_out_of_time_are_found() -> None:
    codes = np.random.default_rng(0).standard_normal((80, 16)).astype(np.float32)
    near, sure = errors_of(codes, codes)
    assert near == pytest.approx(0) and sure > 4
    late, still_sure = errors_of(codes[:70], codes[5:75])
    assert late < 2 and still_sure > 2  # found five frames away, but for the zeros past the end
    far, unsure = errors_of(codes, np.roll(codes, 40, axis=0))
    assert far > 4 and unsure < 1


class Echo(nn.Module):
    """Sees and hears loudness."""

    def forward(self, lips: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        return lips.mean((1, 2, 3, 4))[:, None] / 10, audio[:, 0, 0].mean(1)[:, None]


def test_a_clip_is_cut_into_windows_of_five_frames_and_twenty_columns(tmp_path: Path) -> None:
    torch.jit.script(Echo()).save(str(tmp_path / "echo.pt"))
    network = load_syncnet(tmp_path / "echo.pt")
    pcm = voice(3.0)
    energy = mfcc_of_syncnet(pcm)[:, 0]
    seen = [energy[4 * n : 4 * n + 4].mean() for n in range(74)]
    crops = [np.full((8, 8, 3), round(10 * level), np.uint8) for level in seen]
    d, c = sync_errors(network, crops, pcm)
    shuffled = [crops[i] for i in np.random.default_rng(0).permutation(len(crops))]
    worse = sync_errors(network, shuffled, pcm)
    assert d < 0.1 < worse[0]
    assert worse[1] < 0.7 * c
    assert np.isnan(sync_errors(network, crops[:4], pcm)).all()
