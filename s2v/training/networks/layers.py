"""Building blocks of the networks."""

from __future__ import annotations

from torch import nn

Size = int | tuple[int, int]


def conv(inputs: int, outputs: int, kernel: Size = 3, stride: Size = 1) -> nn.Sequential:
    """Convolution, batch norm, leaky ReLU; padded so that only the stride changes the size."""
    kernels = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (kernels[0] // 2, kernels[1] // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernels, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)
    )
