from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch

from s2v.errors import DataError
from s2v.training.run.precision import Arithmetic, Precision, autocast, best_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("processor: 0\nflags\t\t: fpu avx2 avx512_bf16 amx_tile\n", "bf16"),
        ("Features\t: fp asimd bf16\n", "bf16"),
        ("flags : fpu avx2 avx512f\n", "fp32"),
        ("", "fp32"),
        (None, "fp32"),
    ],
)
def test_bf16_is_chosen_where_the_processor_multiplies_it(text: str | None, wanted: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    if text is not None:
        cpuinfo.write_text(text)
    assert best_precision(CPU, cpuinfo) == wanted


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", None)])
def test_a_step_goes_down_in_every_precision(precision: Precision, dtype: torch.dtype | None) -> None:
    layer = torch.nn.Linear(8, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    arithmetic = Arithmetic(CPU, precision, optimiser)
    with autocast(CPU, precision):
        out = layer(torch.ones(1, 8))
    assert out.dtype == (dtype or torch.float32)
    arithmetic.step(out.float().sum() / 4, list(layer.parameters()), most_norm=0.5)
    # The gradient, eight quarters, is cut from a norm of 0.71 to 0.5; it is no longer scaled.
    torch.testing.assert_close(layer.weight, torch.full((1, 8), 1 - 0.1 * 0.5 / 8**0.5), rtol=1e-3, atol=1e-4)
    assert bool(arithmetic.state()) == (precision == "fp16")


def test_a_gradient_that_overflows_is_left_out_and_the_scale_goes_on_where_it_was() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    arithmetic = Arithmetic(CPU, "fp16", torch.optim.SGD(layer.parameters(), lr=0.1))
    arithmetic.step(layer(torch.ones(1, 2)).sum() * float("inf"), list(layer.parameters()), 1.0)
    assert torch.equal(layer.weight, before)
    other = Arithmetic(CPU, "fp16", torch.optim.SGD(layer.parameters(), lr=0.1))
    assert other.state()["scale"] == 2 * arithmetic.state()["scale"]
    other.restore(arithmetic.state())
    assert other.state() == arithmetic.state()
    with pytest.raises(DataError, match="gradient scale is damaged"):
        other.restore({"scale": 1.0})
