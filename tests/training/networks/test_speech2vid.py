from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2v.engine.backends import open_backend
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.export.export import export_network
from s2v.training.networks.model import build_network, load_checkpoint, read_checkpoint, save_checkpoint, take_weights
from s2v.training.networks.speech2vid import Speech2Vid, scaled

SPEC = LipSyncSpec.of("speech2vid")
NARROW = 0.125  # quick to run; the layers are the same


def narrow(seed: int = 0) -> Speech2Vid:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Speech2Vid(SPEC, NARROW)


def inputs(n_windows: int, n_faces: int) -> tuple[Tensor, Tensor]:
    dice = torch.Generator().manual_seed(3)
    mfcc = torch.randn(n_windows, 1, SPEC.n_cepstra, SPEC.n_columns, generator=dice)
    return mfcc, torch.rand(n_faces, 6, SPEC.face_px, SPEC.face_px, generator=dice)


def test_the_full_width_has_the_channels_of_the_paper() -> None:
    with torch.random.fork_rng():
        parts = Speech2Vid(SPEC)
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    audio, face, frame = (
        [(part.in_channels, part.out_channels, part.kernel_size) for part in half.modules() if isinstance(part, kinds)]
        for half in (parts.frame_decoder.audio, parts.face_encoder, parts.frame_decoder)
    )
    assert [channels for _, channels, _ in audio] == [64, 128, 256, 256, 512]
    assert [(channels, kernel[0]) for _, channels, kernel in face[:5]] == [
        (96, 7),
        (256, 5),
        (512, 3),
        (512, 3),
        (512, 3),
    ]
    own, taken = frame[len(audio) :], face[5:]
    assert [channels for _, channels, _ in own] == [256, 128, 96, 48, 3]
    joined = [a + b for (a, *_), (b, *_) in zip(own[1:4], taken, strict=True)]
    assert joined == [256 + 512, 128 + 256, 96 + 96]
    assert sum(weight.numel() for weight in parts.parameters()) == 42_076_403


@pytest.mark.parametrize("training", [False, True])
def test_windows_that_share_a_face_get_what_each_gets_with_a_copy_of_it(training: bool) -> None:
    network = narrow().double().train(training)
    mfcc, face = (given.double() for given in inputs(6, 2))
    gradients = []
    for faces in (face, face.repeat_interleave(3, 0)):
        network.zero_grad()
        pixels = network(mfcc, faces)
        (pixels * torch.linspace(0, 1, pixels.numel()).reshape(pixels.shape)).sum().backward()
        gradients.append(
            (pixels.detach(), *(grad.clone() for one in network.parameters() if (grad := one.grad) is not None))
        )
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-7)


def test_what_the_encoder_adds_is_a_convolution_of_joined_maps() -> None:
    """As the paper draws it: maps side by side, then one layer over both."""
    network = narrow().eval()
    decoder, encoder = network.frame_decoder, network.face_encoder
    c256, c128 = scaled(NARROW, 256, 128)
    own, taken = torch.randn(1, c256, 14, 14), torch.randn(1, encoder.up_28.in_channels, 14, 14)
    with torch.no_grad():
        own_weight, taken_weight = decoder.up_28[0].weight, encoder.up_28.weight
        assert isinstance(own_weight, torch.Tensor)
        weight = torch.cat([own_weight, taken_weight])
        joined = functional.conv_transpose2d(torch.cat([own, taken], 1), weight, stride=2, padding=1)
        found = decoder.up_28(own, encoder.up_28(taken))
        _, norm, bend = decoder.up_28
        torch.testing.assert_close(found, bend(norm(joined)))
    assert found.shape == (1, c128, 28, 28)


def test_weights_of_version_0_2_say_the_same(tmp_path: Path) -> None:
    network = narrow().eval()
    before = dict(network.state_dict())
    for name in ("up_28", "up_56", "up_112"):
        taken = before.pop(f"face_encoder.{name}.weight")
        before[f"frame_decoder.{name}.0.weight"] = torch.cat([before[f"frame_decoder.{name}.0.weight"], taken])
    again = narrow(seed=1).eval()
    again.load_state_dict(before)
    mfcc, face = inputs(2, 2)
    with torch.no_grad():
        assert torch.equal(again(mfcc, face), network(mfcc, face))


def test_half_as_wide_it_has_a_quarter_of_the_weights_and_comes_back_so(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        half = build_network(SPEC, 0.5)
    assert sum(weight.numel() for weight in half.parameters()) == pytest.approx(42_076_403 / 4, rel=0.01)
    network = narrow()
    save_checkpoint(network, tmp_path / "last.pt")
    again = load_checkpoint(tmp_path / "last.pt")
    assert again.width == NARROW
    assert torch.equal(again.state_dict()["frame_decoder.out.weight"], network.state_dict()["frame_decoder.out.weight"])


def test_another_width_is_refused_in_one_line(tmp_path: Path) -> None:
    save_checkpoint(narrow(), tmp_path / "last.pt")
    state = read_checkpoint(tmp_path / "last.pt")
    with pytest.raises(DataError, match=r"network is 0\.125 times as wide as usual, this training's 0\.25"):
        take_weights(build_network(SPEC, 0.25), state)
    for spec, width in ((SPEC, 0.0), (SPEC, 3.0), (SPEC, float("nan")), (LipSyncSpec.of("s2v"), 0.5)):
        with pytest.raises(DataError, match=r"times as wide: speech2vid can be 0\.1 to 2 times"):
            build_network(spec, width)


def test_a_narrow_network_is_exported_as_it_was_trained(tmp_path: Path) -> None:
    network = narrow()
    with torch.no_grad():
        network(*inputs(4, 4))  # its norms have seen something
    report = export_network(network.eval(), SPEC, tmp_path / "narrow.onnx", {})
    assert report.max_difference < 1e-5
    assert report.n_bytes < 5_000_000
    mfcc, face = inputs(1, 1)
    with torch.no_grad():
        wanted = network(mfcc, face).numpy()
    for name in ("onnxruntime", "torch-cpu"):  # the norm after a sum stays an operator of its own
        backend = open_backend(report.path, name)
        drawn = backend.infer(mfcc.numpy(), backend.encode_face(face.numpy()))["pixels"]
        backend.close()
        assert abs(drawn - wanted).max() < 1e-4
