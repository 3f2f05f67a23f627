"""What runs on a GPU finds all of its memory there and never waits for it: shown without one (`shape_only_device`)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the optional torch runtime is not installed")

from tiny_networks import tiny_model
from torch.utils import backend_registration

TESTS = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch cannot be given a device in Python",
)


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    command = [sys.executable, str(TESTS / "helpers" / "shape_only_device.py"), str(tiny_model("speech2vid").path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "what",
    [
        *("network, half", "network, float", "network with faces, half", "network with faces, float", "encoder"),
        *("still face, bgr", "moving face, rgb", "moving face, i420", "moving batch, nv12", "still batch, nv12"),
    ],
)
def test_nothing_is_left_in_host_memory_and_nothing_is_asked_for(said: dict[str, str], what: str) -> None:
    assert said[what] == ""


@pytest.mark.parametrize(
    ("what", "wrong"),
    [
        ("mixed", r"two (different )?devices"),  # torch 2.11 has words of its own
        ("unpinned", "not pinned"),
        ("asking", "asks the device for a number"),
    ],
)
def test_what_a_gpu_would_refuse_is_found(said: dict[str, str], what: str, wrong: str) -> None:
    assert re.search(wrong, said[what])
