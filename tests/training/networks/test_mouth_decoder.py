from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor

from s2v.spec import LipSyncSpec
from s2v.training.networks.mouth_decoder import N_LOOKS, N_SETS, MouthDecoder, MouthFaceEncoder, TeethMemory, TeethPlace

SPEC = replace(LipSyncSpec(), mouth_w_px=64, mouth_h_px=32)
PLACE = TeethPlace(SPEC)
SEEN = torch.ones(1, *PLACE.size)
FULL_LIGHT = torch.ones(1, 3)


@pytest.fixture(scope="module")
def mouth_decoder() -> MouthDecoder:
    torch.manual_seed(0)
    return MouthDecoder(SPEC).eval()


@pytest.fixture
def encoder() -> MouthFaceEncoder:
    torch.manual_seed(0)
    return MouthFaceEncoder(SPEC).eval()


def teeth_with(row: str, cover: float = 1.0) -> Tensor:
    """One row of white teeth, a single line of pixels high, and nothing of the other."""
    teeth = torch.zeros(1, *PLACE.shape)
    channel = {"upper": 0, "lower": 4}[row]
    teeth[:, channel : channel + 3] = 1
    teeth[:, channel + 3, 5] = cover
    return teeth


def lit(row: str, jaw_px: float, mouth_decoder: MouthDecoder) -> Tensor:
    """How bright each row of the patch is, (h,), with a black cavity and full light."""
    soft = torch.zeros(1, 5, *PLACE.size)
    soft[:, 1:] = 1
    with torch.no_grad():
        mouth = mouth_decoder.lay(soft, torch.tensor([[jaw_px]]), FULL_LIGHT, teeth_with(row))
    return mouth[0, :3].mean((0, 2))


def test_upper_teeth_stay_and_lower_teeth_follow_the_jaw(mouth_decoder: MouthDecoder) -> None:
    for jaw_px in (0.0, 3.0, 7.0):
        assert int(lit("upper", jaw_px, mouth_decoder).argmax()) == PLACE.top + 5
        assert int(lit("lower", jaw_px, mouth_decoder).argmax()) == PLACE.top + 5 + jaw_px


def test_lower_teeth_move_by_less_than_a_pixel_too(mouth_decoder: MouthDecoder) -> None:
    rows = lit("lower", 2.25, mouth_decoder)
    where = (rows * torch.arange(len(rows))).sum() / rows.sum()
    assert float(where) == pytest.approx(PLACE.top + 7.25, abs=0.02)


def test_the_jaw_moves_as_far_as_the_chin_of_the_basis(mouth_decoder: MouthDecoder) -> None:
    opened = torch.zeros(1, SPEC.n_motion)
    opened[0, 0] = 1
    with torch.no_grad():
        px = float(mouth_decoder.jaw(opened))
    assert 0.01 < px / PLACE.unit_px < 0.2  # face units a standard deviation of the jaw


def test_upper_teeth_hide_lower_ones(mouth_decoder: MouthDecoder) -> None:
    soft = torch.ones(1, 5, *PLACE.size)
    teeth = torch.zeros(1, *PLACE.shape)
    teeth[:, 3], teeth[:, 7] = 1, 1
    teeth[:, 0], teeth[:, 6] = 0.4, 0.4  # upper teeth blue, lower ones red
    with torch.no_grad():
        blue, _, red = mouth_decoder.lay(soft, torch.zeros(1, 1), FULL_LIGHT, teeth)[0, :3, PLACE.top + 3, 20]
    assert blue > 0.1
    assert red == 0


def test_a_face_gets_the_teeth_of_whom_it_is_like(encoder: MouthFaceEncoder) -> None:
    faces = torch.rand(4, 6, SPEC.face_px, SPEC.face_px, generator=torch.Generator().manual_seed(1))
    faces *= torch.tensor([0.2, 0.5, 0.8, 1.0])[:, None, None, None]
    with torch.no_grad():
        encoder.set_looks.copy_(torch.cat([encoder.looks(faces), torch.full((N_SETS - 4, N_LOOKS), 5.0)]))
        encoder.sets.copy_(torch.rand(encoder.sets.shape))
        _, teeth = encoder(0.97 * faces)
    torch.testing.assert_close(teeth, encoder.sets[:4])


def test_everybody_begins_with_the_usual_teeth_and_learns_their_own() -> None:
    memory = TeethMemory(SPEC, SEEN.expand(3, -1, -1), SEEN.expand(3, -1, -1))
    everybody, unmirrored = torch.arange(3), torch.zeros(3, dtype=torch.bool)
    teeth, _ = memory(everybody, unmirrored)
    assert torch.equal(teeth[0], teeth[2])
    upper, lower = teeth[0, 3].mean(1), teeth[0, 7].mean(1)
    assert upper[0] > 0.9 > 0.1 > upper[-1]  # the upper row hangs down, the lower one stands up
    assert lower[0] < 0.1 < 0.9 < lower[-1]
    optimiser = torch.optim.SparseAdam(memory.own.parameters(), lr=0.1)
    for _ in range(5):
        drawn, cost = memory(everybody[1:2], unmirrored[1:2])
        (drawn[:, 0, 3:6].mean() + cost).backward()
        optimiser.step()
        optimiser.zero_grad()
    after, _ = memory(everybody, unmirrored)
    assert after[1, 0, 3:6].mean() < teeth[1, 0, 3:6].mean() - 0.02
    assert torch.equal(after[0], teeth[0])
    # What travels with the network ends where the picture did.
    kept = memory.sets(everybody)
    torch.testing.assert_close(kept[:, :7], after[:, :7])
    assert kept[0, 7, :, 0].max() == 0 < kept[0, 7, -1, PLACE.size[1] // 2]  # lower teeth in front only
    half = TeethMemory(SPEC, SEEN * (torch.arange(PLACE.size[0]) < PLACE.top + 8)[:, None], SEEN)
    assert half.sets(everybody[:1])[0, 3, 5:].max() < 0.5
    assert half.sets(everybody[:1])[0, 3, :2].min() > 0.5


def test_a_mirrored_picture_shows_mirrored_teeth() -> None:
    memory = TeethMemory(SPEC, SEEN, SEEN)
    torch.nn.init.normal_(memory.own.weight)
    nobody = torch.zeros(2, dtype=torch.long)
    (as_is, mirrored), _ = memory(nobody, torch.tensor([False, True]))
    assert not torch.equal(as_is, mirrored)
    assert torch.equal(as_is, mirrored.flip(-1))


def test_nobodys_teeth_are_darker_or_yellower_than_everybodys_as_far_as_they_were_seen() -> None:
    seen = SEEN.clone()
    seen[..., : PLACE.size[1] // 2] = 0
    memory = TeethMemory(SPEC, SEEN, seen)
    nobody, unmirrored = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.bool)
    before, _ = memory(nobody, unmirrored)
    with torch.no_grad():
        colours(memory)[:, 0] -= 1
        colours(memory)[:, :3, 4:8] -= 1
    after, _ = memory(nobody, unmirrored)
    columns = slice(PLACE.size[1] // 2, None)
    of_teeth = [torch.logit(teeth[0, :3, :, columns]).mean((1, 2)) for teeth in (before, after)]
    torch.testing.assert_close(of_teeth[1], of_teeth[0], atol=0.02, rtol=0)
    assert (before - after)[0, :3, 4:8].min() > 0.05


def test_paint_follows_the_light_of_the_photo(mouth_decoder: MouthDecoder) -> None:
    soft = torch.ones(1, 5, *PLACE.size)
    dim = torch.tensor([[0.3, 0.4, 0.5]])
    with torch.no_grad():
        teeth = teeth_with("upper")
        pixel = mouth_decoder.lay(soft, torch.zeros(1, 1), dim, teeth)[0, :3, PLACE.top + 5, 20]
    torch.testing.assert_close(pixel, torch.tensor([0.3, 0.4, 0.5]))


def test_light_is_counted_once(mouth_decoder: MouthDecoder) -> None:
    motion, light = torch.randn(1, SPEC.n_motion), torch.full((1, 3), 0.3)
    with torch.no_grad():
        dim, bright = (mouth_decoder(motion, gain * light, teeth_with("upper"))[0] for gain in (1.0, 2.0))
    torch.testing.assert_close(bright[:3], 2 * dim[:3])
    torch.testing.assert_close(bright[3], dim[3])


def test_lower_teeth_are_ivory_of_more_or_less_light() -> None:
    memory = TeethMemory(SPEC, SEEN, SEEN)
    with torch.no_grad():
        colours(memory)[:, 3, :5] += 2
    lower = memory.sets(torch.zeros(1, dtype=torch.long))[0, 4:7].mean(2)  # BGR of every row
    assert (lower[:, 2] > lower[:, 8] + 0.1).all()
    for blue, green, red in lower.T.tolist():
        assert blue < green < red < blue + 0.2


def colours(memory: TeethMemory) -> Tensor:
    """Everybody's own colours as logits, (n_people, 4, rows, w), to be changed in place."""
    own: Tensor = memory.own.weight[:, : memory.colour.numel()].unflatten(1, memory.colour.shape)
    return own
