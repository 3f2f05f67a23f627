from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import os, sys
os.fork = lambda: sys.exit("somebody forks")
from s2v.engine.backends import open_backend
open_backend(None, "openvino").close()
print(sys.modules["openvino_telemetry"])
"""


def test_a_runtime_does_not_report_to_its_maker() -> None:
    pytest.importorskip("openvino", reason="the runtime that would")
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
