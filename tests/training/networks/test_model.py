from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor

from s2v.errors import DataError, S2vError
from s2v.spec import TRACT_AT_REST, TRACT_VARIABLES, LipSyncSpec
from s2v.training.networks.model import (
    MotionTract,
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


def run(network: TalkingNet, mfcc: Tensor, face: Tensor) -> tuple[Tensor, ...]:
    """The outputs by way of both halves, without gradients."""
    with torch.no_grad():
        identity = network.face_encoder(face) if network.face_encoder else ()
        assert len(identity) == len(network.identity_names)
        outputs: tuple[Tensor, ...] = network.frame_decoder(mfcc, *identity)
    assert len(outputs) == len(network.output_names)
    return outputs


@pytest.mark.parametrize("name", SPECS)
def test_outputs_have_the_shapes_of_the_spec(networks: dict[str, TalkingNet], name: str) -> None:
    spec, network = SPECS[name], networks[name]
    outputs = dict(zip(network.output_names, run(network, *inputs(spec)), strict=True))
    wanted = {
        "s2v": {"motion": (2, spec.n_motion), "tract": (2, len(TRACT_VARIABLES))},
        "speech2vid": {"pixels": (2, 3, spec.face_px, spec.face_px)},
    }[name]
    assert {key: tuple(value.shape) for key, value in outputs.items()} == wanted
    for key in ("tract", "pixels"):
        if key in outputs:
            assert 0 <= outputs[key].min() < outputs[key].max() <= 1


@pytest.mark.parametrize("name", SPECS)
def test_a_batch_is_its_frames(networks: dict[str, TalkingNet], name: str) -> None:
    """The face is encoded once for all of them."""
    mfcc, face = inputs(SPECS[name], batch=3)
    at_once = run(networks[name], mfcc, face[:1].expand(3, -1, -1, -1))
    for index, window in enumerate(mfcc):
        for one, many in zip(run(networks[name], window[None], face[:1]), at_once, strict=True):
            torch.testing.assert_close(one[0], many[index], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SPECS)
def test_every_output_listens_and_pixels_look(networks: dict[str, TalkingNet], name: str) -> None:
    network = networks[name]
    (mfcc, face), (other_mfcc, other_face) = inputs(SPECS[name]), inputs(SPECS[name], seed=1)
    as_is, other_voice, other_person = (
        run(network, *given) for given in ((mfcc, face), (other_mfcc, face), (mfcc, other_face))
    )
    for key, here, voice, person in zip(network.output_names, as_is, other_voice, other_person, strict=True):
        assert not torch.equal(here, voice)
        # How a mouth moves is a matter of the voice alone.
        assert torch.equal(here, person) == (key != "pixels")


def test_a_stretch_of_columns_gives_what_its_windows_give(networks: dict[str, TalkingNet]) -> None:
    network, spec = networks["s2v"], SPECS["s2v"]
    assert isinstance(network, MotionTract)
    columns = torch.randn(2, 4 * 5 + spec.n_columns, spec.n_cepstra, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        motion, tract = network.frame_decoder.over(columns)
        assert (motion.shape, tract.shape) == ((2, 6, spec.n_motion), (2, 6, len(TRACT_VARIABLES)))
        for frame in range(6):
            window = columns[:, 4 * frame : 4 * frame + spec.n_columns].transpose(1, 2)[:, None]
            alone = network.frame_decoder(window)
            torch.testing.assert_close(motion[:, frame], alone[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(tract[:, frame], alone[1], atol=1e-5, rtol=1e-4)


def test_tract_variables_begin_near_rest() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = MotionTract(SPECS["s2v"])
    with torch.no_grad():
        network.frame_decoder.tract.weight.zero_()
    _, tract = run(network.eval(), *inputs(SPECS["s2v"]))
    torch.testing.assert_close(tract, torch.tensor([TRACT_AT_REST] * 2), atol=0.011, rtol=0)


def test_the_networks_have_the_size_that_was_planned(networks: dict[str, TalkingNet]) -> None:
    millions = {name: sum(p.numel() for p in network.parameters()) / 1e6 for name, network in networks.items()}
    assert isinstance(networks["s2v"], MotionTract)
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
        pixels = network(mfcc, face)
        loss = pixel_loss(pixels, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.85 * losses[0]


def test_a_checkpoint_gives_the_network_back(networks: dict[str, TalkingNet], tmp_path: Path) -> None:
    network = networks["s2v"]
    save_checkpoint(network, tmp_path / "last.pt", steps=7)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert read_checkpoint(tmp_path / "last.pt")["steps"] == 7
    again = load_checkpoint(tmp_path / "last.pt")
    assert again.spec == network.spec
    assert not again.training
    for one, other in zip(run(network, *inputs(SPECS["s2v"])), run(again, *inputs(SPECS["s2v"])), strict=True):
        assert torch.equal(one, other)


def test_weights_of_another_spec_are_refused_by_what_differs(networks: dict[str, TalkingNet], tmp_path: Path) -> None:
    save_checkpoint(networks["s2v"], tmp_path / "last.pt")
    state = read_checkpoint(tmp_path / "last.pt")
    other = build_network(replace(SPECS["s2v"], look_ahead_s=0.04, mfcc_mean=(1.0,) * 13))
    with pytest.raises(DataError, match=r"trained for another spec \(network s2v; other in look_ahead_s, mfcc_mean\)"):
        take_weights(other, state)


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


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"spec": 5}, "its spec is a int"),
        ({"weights": [1]}, "its weights is a list"),
        ({"weights": {"frame_decoder.x": {}}}, "not all of its weights are tensors"),
        ({"weights": {"frame_decoder.x": torch.zeros(1)}}, "do not fit its network"),
        ({"format": torch.zeros(0)}, "not a checkpoint of this version"),
        ({"history": {}}, "its history is a dict"),
        ({"spec": "[]"}, "not an object"),
    ],
)
def test_a_checkpoint_with_other_things_in_it_is_refused(
    networks: dict[str, TalkingNet], tmp_path: Path, changed: dict[str, object], says: str
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(networks["s2v"], path)
    torch.save(read_checkpoint(path) | changed, path)
    with pytest.raises(S2vError, match=says):
        load_checkpoint(path)


@pytest.mark.parametrize("spec", ["[]", "null", '"s2v"', "{"])
def test_weights_whose_spec_is_no_object_are_refused(networks: dict[str, TalkingNet], spec: str) -> None:
    """As `s2v train --resume` takes them: into a network that is there already."""
    network = networks["s2v"]
    with pytest.raises(DataError, match="was trained for another spec"):
        take_weights(network, {"spec": spec, "weights": network.state_dict()})
