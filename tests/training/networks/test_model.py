from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.networks.model import (
    MotionMouth,
    Speech2Vid,
    TalkingNet,
    build_network,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    take_weights,
)
from s2v.training.train.losses import pixel_loss

SPECS = {"s2v": LipSyncSpec(), "speech2vid": LipSyncSpec(network="speech2vid")}


@pytest.fixture(scope="module")
def networks() -> dict[str, TalkingNet]:
    """One of each, in eval mode; tests leave them as they are."""
    torch.manual_seed(0)
    return {name: build_network(spec).eval() for name, spec in SPECS.items()}


def inputs(spec: LipSyncSpec, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Audio windows and faces."""
    dice = torch.Generator().manual_seed(seed)
    mfcc = torch.randn(batch, 1, spec.n_cepstra, spec.n_columns, generator=dice)
    return mfcc, torch.rand(batch, 6, spec.face_px, spec.face_px, generator=dice)


@pytest.mark.parametrize("name", SPECS)
def test_outputs_have_the_shapes_of_the_spec(networks: dict[str, TalkingNet], name: str) -> None:
    spec, network = SPECS[name], networks[name]
    with torch.no_grad():
        outputs = dict(zip(network.output_names, network(*inputs(spec)), strict=True))
    wanted = {
        "s2v": {"motion": (2, spec.n_motion), "mouth": (2, 4, spec.mouth_h_px, spec.mouth_w_px)},
        "speech2vid": {"pixels": (2, 3, spec.face_px, spec.face_px)},
    }[name]
    assert {key: tuple(value.shape) for key, value in outputs.items()} == wanted
    for key in ("mouth", "pixels"):
        if key in outputs:
            assert 0 <= outputs[key].min() < outputs[key].max() <= 1


@pytest.mark.parametrize("name", SPECS)
def test_the_face_is_encoded_once_for_all_frames(networks: dict[str, TalkingNet], name: str) -> None:
    network = networks[name]
    mfcc, face = inputs(SPECS[name], batch=3)
    with torch.no_grad():
        identity = network.face_encoder(face[:1])
        assert len(identity) == len(network.identity_names)
        frames = [network.frame_decoder(window[None], *identity) for window in mfcc]
        at_once = network(mfcc, face[:1].expand(3, -1, -1, -1))
    for index, frame in enumerate(frames):
        for one, many in zip(frame, at_once, strict=True):
            torch.testing.assert_close(one[0], many[index], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SPECS)
def test_every_output_listens_and_looks(networks: dict[str, TalkingNet], name: str) -> None:
    network = networks[name]
    (mfcc, face), (other_mfcc, other_face) = inputs(SPECS[name]), inputs(SPECS[name], seed=1)
    with torch.no_grad():
        as_is, other_voice, other_person = network(mfcc, face), network(other_mfcc, face), network(mfcc, other_face)
    for key, here, voice, person in zip(network.output_names, as_is, other_voice, other_person, strict=True):
        assert not torch.equal(here, voice)
        # How a mouth moves is a matter of the voice alone.
        assert torch.equal(here, person) == (key == "motion")


def test_the_networks_have_the_size_that_was_planned(networks: dict[str, TalkingNet]) -> None:
    millions = {name: sum(p.numel() for p in network.parameters()) / 1e6 for name, network in networks.items()}
    assert isinstance(networks["s2v"], MotionMouth)
    assert isinstance(networks["speech2vid"], Speech2Vid)
    assert millions["s2v"] < 5  # under 20 MB as float32
    assert 30 < millions["speech2vid"] < 60


def test_the_papers_network_learns_a_batch_by_heart(networks: dict[str, TalkingNet]) -> None:
    torch.manual_seed(1)
    network = build_network(SPECS["speech2vid"])
    network.load_state_dict(networks["speech2vid"].state_dict())
    mfcc, face = inputs(SPECS["speech2vid"])
    target = torch.rand(2, 3, 1, 1).expand(-1, -1, 112, 112)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        (pixels,) = network(mfcc, face)
        loss = pixel_loss(pixels, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.85 * losses[0]


def test_a_checkpoint_gives_the_network_back(networks: dict[str, TalkingNet], tmp_path: Path) -> None:
    network = networks["s2v"]
    save_checkpoint(network, tmp_path / "last.pt", steps={"motion": 7, "mouth": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert read_checkpoint(tmp_path / "last.pt")["steps"] == {"motion": 7, "mouth": 2}
    again = load_checkpoint(tmp_path / "last.pt")
    assert again.spec == network.spec
    assert not again.training
    with torch.no_grad():
        for one, other in zip(network(*inputs(SPECS["s2v"])), again(*inputs(SPECS["s2v"])), strict=True):
            assert torch.equal(one, other)


def test_parts_of_other_hearing_and_another_patch_are_joined(tmp_path: Path) -> None:
    hearing = replace(SPECS["s2v"], look_ahead_s=0.04, mouth_w_px=64, mouth_h_px=32)
    painting = replace(SPECS["s2v"], mfcc_mean=(1.0,) * 13)
    for name, spec, steps in (("hears", hearing, {"motion": 3}), ("paints", painting, {"mouth": 3})):
        save_checkpoint(build_network(spec), tmp_path / name, steps=steps)
    network = load_checkpoint(tmp_path / "hears", tmp_path / "paints")
    assert network.spec == replace(hearing, mouth_w_px=painting.mouth_w_px, mouth_h_px=painting.mouth_h_px)
    for name, own in (("hears", "frame_decoder.motion_net"), ("paints", "frame_decoder.mouth_decoder")):
        stored = read_checkpoint(tmp_path / name)["weights"]
        assert all(torch.equal(v, stored[k]) for k, v in network.state_dict().items() if k.startswith(own))
    with pytest.raises(DataError, match=r"part motion was trained for another spec .* other in look_ahead_s"):
        take_weights(build_network(painting), read_checkpoint(tmp_path / "hears"), {})
    with pytest.raises(DataError, match=r"part mouth was trained for another spec .* other in mouth_h_px, mouth_w_px"):
        take_weights(build_network(hearing), read_checkpoint(tmp_path / "paints"), {})


def test_a_checkpoint_from_before_the_mouth_decoder_had_its_name_is_read(
    networks: dict[str, TalkingNet], tmp_path: Path
) -> None:
    network = networks["s2v"]
    path = tmp_path / "old.pt"
    save_checkpoint(network, path, steps={"motion": 1, "mouth": 1})
    state = torch.load(path, weights_only=True)
    names = {name.replace(".mouth_decoder.", ".painter."): weight for name, weight in state["weights"].items()}
    assert names.keys() != state["weights"].keys()
    torch.save(state | {"weights": names}, path)
    found = load_checkpoint(path).state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in network.state_dict().items())


def test_what_is_not_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    with pytest.raises(DataError, match=r"no checkpoint at .*last\.pt: s2v train writes one"):
        load_checkpoint(path)
    for content in (b"", b"rubbish", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is not a checkpoint of s2v train"):
            load_checkpoint(path)
    states: tuple[object, ...] = ({"weights": {}}, [1, 2], {"format": 99})
    for state in states:
        torch.save(state, path)
        with pytest.raises(DataError, match="not a checkpoint of this version"):
            load_checkpoint(path)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
            return Path.touch, (tmp_path / "harmed",)

    torch.save({"format": 1, "spec": Harm()}, tmp_path / "evil.pt")
    with pytest.raises(DataError):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "harmed").exists()
