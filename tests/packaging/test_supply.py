"""scripts/audit tells what it knows and what it could not ask; scripts/sbom tells what a wheel is made of."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements" / "live.txt").read_text(encoding="utf-8")

# Stands in for pip-audit on the path: writes down what it was asked, and answers what the test says.
STAND_IN = """#!/bin/sh
for last; do :; done
cp "$last" asked.txt
cat answer.json
exit 1
"""
FINE = {"name": "av", "version": "18", "vulns": []}
HARMFUL = {"name": "aiohttp", "version": "3", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1"]}]}
UNKNOWN = {"name": "tqdm", "skip_reason": "not found"}


def audit(folder: Path, answer: str, *options: str) -> subprocess.CompletedProcess[str]:
    tool = folder / "pip-audit"
    tool.write_text(STAND_IN)
    tool.chmod(0o755)
    (folder / "answer.json").write_text(answer)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = [sys.executable, str(ROOT / "scripts" / "audit"), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=60)


@pytest.mark.parametrize(
    ("packages", "code", "required", "said"),
    [
        ([FINE], 0, 0, "1 packages without a known advisory"),
        ([FINE, HARMFUL], 1, 1, "aiohttp 3: PYSEC-1, mended in 3.1"),
        ([UNKNOWN, UNKNOWN], 0, 2, "audit: 1 of 1 packages not audited: none is known"),
        ([FINE, UNKNOWN], 0, 2, "audit: 1 of 2 packages not audited: tqdm"),
    ],
    ids=["fine", "harmful", "no service", "one unknown"],
)
def test_an_audit_says_what_was_found_and_what_was_not_asked(
    tmp_path: Path, packages: list[dict[str, Any]], code: int, required: int, said: str
) -> None:
    answer = json.dumps({"dependencies": packages})
    done = audit(tmp_path, answer)
    assert done.returncode == code and said in done.stdout + done.stderr
    assert audit(tmp_path, answer, "--require").returncode == required
    asked = (tmp_path / "asked.txt").read_text().splitlines()
    assert {"numpy", "torch", "pytest"} <= {line.partition("==")[0] for line in asked}
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in asked)


def test_an_audit_that_did_not_take_place_is_one_line(tmp_path: Path) -> None:
    done = audit(tmp_path, "no answer")
    assert done.returncode == 0 and re.fullmatch("audit: pip-audit cannot run here, .+\n", done.stderr)
    assert audit(tmp_path, "no answer", "--require").returncode == 2


METADATA = """Metadata-Version: 2.4
Name: speech2vid
Version: 9.8
License-Expression: Apache-2.0
Requires-Dist: numpy<3,>=2.0
Requires-Dist: opencv_contrib-python<6
Requires-Dist: torch<3; extra == "train"
"""


def sbom(wheel: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "sbom"), str(wheel)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_bill_holds_the_wheel_its_models_and_the_lock(tmp_path: Path) -> None:
    wheel = tmp_path / "speech2vid-9.8-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("speech2vid-9.8.dist-info/METADATA", METADATA)
        archive.writestr("s2v/assets/model.onnx", b"weights")
        archive.writestr("s2v/assets/MODEL_CARD.md", "read me")
        archive.writestr("s2v/cli.py", "")
    done = sbom(wheel)
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    itself = bill["metadata"]["component"]
    assert itself["purl"] == "pkg:pypi/speech2vid@9.8"
    assert itself["hashes"][0]["content"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    model = next(one for one in bill["components"] if one["type"] == "machine-learning-model")
    assert model["hashes"][0]["content"] == hashlib.sha256(b"weights").hexdigest()
    libraries = {one["purl"]: one for one in bill["components"] if one["type"] == "library"}
    assert len(libraries) == len(re.findall(r"^[\w.-]+==", LOCK, re.MULTILINE)) == len(bill["components"]) - 1
    assert sum(len(one["hashes"]) for one in libraries.values()) == LOCK.count("--hash=")
    assert any(one.get("licenses") for one in libraries.values())
    direct = bill["dependencies"][0]["dependsOn"]
    assert [ref.partition("@")[0] for ref in direct] == ["pkg:pypi/numpy", "pkg:pypi/opencv-contrib-python"]
    assert {one["ref"] for one in bill["dependencies"]} >= set(direct)
    assert sbom(wheel).stdout == done.stdout


def test_what_is_no_wheel_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.whl", Path(__file__)):
        done = sbom(path)
        assert done.returncode == 2 and done.stdout == "" and re.fullmatch("sbom: .+\n", done.stderr)
