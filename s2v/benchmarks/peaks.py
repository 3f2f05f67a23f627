"""What GPUs can do at most, as NVIDIA's data sheets say."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TERA, _GIGA = 1e12, 1e9


@dataclass(frozen=True)
class Peak:
    """A device's most operations and bytes a second; a multiply-add is two operations."""

    name: str
    fp16_ops_s: float  # tensor cores, no sparsity, sums in float32
    fp32_ops_s: float  # no tensor cores
    bytes_s: float  # of the device's own memory
    source: str  # the document, or "measured"


def _sheet(name: str, fp16_tflops: float, fp32_tflops: float, gb_s: float, source: str) -> Peak:
    return Peak(name, fp16_tflops * _TERA, fp32_tflops * _TERA, gb_s * _GIGA, source)


_H100 = "NVIDIA H100 Tensor Core GPU data sheet (half of its figures with sparsity)"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet (half of its figures with sparsity)"
_A100 = "NVIDIA A100 Tensor Core GPU data sheet"
# the name that the driver gives, whole: a slice of a GPU (MIG) has another name, and less of everything
_KNOWN = (
    (r"NVIDIA H100 80GB HBM3|NVIDIA H100 SXM.*", _sheet("H100 SXM", 989.4, 66.9, 3350, _H100)),
    (r"NVIDIA H100 PCIe", _sheet("H100 PCIe", 756, 51, 2000, _H100)),
    (r"NVIDIA H100 NVL", _sheet("H100 NVL", 835, 60, 3900, _H100)),
    (r"NVIDIA H200", _sheet("H200 SXM", 989.4, 66.9, 4800, _H200)),
    (r"NVIDIA H200 NVL", _sheet("H200 NVL", 835, 60, 4800, _H200)),
    (r"NVIDIA A100-SXM4-80GB", _sheet("A100 SXM 80 GB", 312, 19.5, 2039, _A100)),
    (r"NVIDIA A100 80GB PCIe", _sheet("A100 PCIe 80 GB", 312, 19.5, 1935, _A100)),
    (r"NVIDIA A100-(SXM4|PCIE)-40GB", _sheet("A100 40 GB", 312, 19.5, 1555, _A100)),
    (r"NVIDIA L4", _sheet("L4", 121, 30.3, 300, "NVIDIA L4 Tensor Core GPU data sheet (half of its fp16 figure)")),
    (r"NVIDIA L40S", _sheet("L40S", 362.05, 91.6, 864, "NVIDIA L40S GPU data sheet")),
    (r"(NVIDIA |)Tesla T4", _sheet("T4", 65, 8.1, 320, "NVIDIA T4 product brief")),
    (
        r"NVIDIA GeForce RTX 3090",
        _sheet("RTX 3090", 71, 35.6, 936, "NVIDIA Ampere GA102 GPU architecture white paper"),
    ),
    (
        r"NVIDIA GeForce RTX 4090",
        _sheet("RTX 4090", 165.2, 82.6, 1008, "NVIDIA Ada GPU architecture white paper"),
    ),
)


def known_peak(device_name: str) -> Peak | None:
    """Args: device_name: as the driver gives it. Returns: None for a GPU that is not in the table."""
    return next((peak for pattern, peak in _KNOWN if re.fullmatch(pattern, device_name)), None)
