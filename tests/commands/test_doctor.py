from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys

import pytest

from s2v.cli import main
from s2v.commands.command import Command
from s2v.commands.doctor import report
from s2v.doctor.finding import Finding


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S2V_ICE_SERVERS", raising=False)


FINE = Finding("Python", "ok", "3.11")
ADVICE = Finding("microphones", "warn", "none", "plug one in")
BROKEN = Finding("codecs", "fail", "no VP8", "install another")


def test_this_machine_can_run_its_own_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--port", "0"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True and len(report["findings"]) >= 12
    names = [finding["name"] for finding in report["findings"]]
    assert len(names) == len(set(names)) and {"GPU", "microphones", "codecs", "port", "ICE", "drawing"} <= set(names)
    for finding in report["findings"]:
        assert finding["state"] == "ok" or finding["next_step"], finding


def test_advice_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    report([FINE, ADVICE], as_json=False)
    out, err = capsys.readouterr()
    assert err == "" and "-> plug one in" in out and out.endswith("work here\n")
    assert "2 checks: 1 ok, 1 with advice, 0 failed" in out


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_is_exit_code_2_and_one_line(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def run(_: argparse.Namespace) -> int:
        report([FINE, BROKEN], as_json)
        return 0

    assert main(["try"], [Command("try", "report", lambda parser: None, run)]) == 2
    out, err = capsys.readouterr()
    assert re.fullmatch(r"s2v: 1 of 2 checks failed \(codecs\): .+\n", err)
    if as_json:
        assert json.loads(out)["ok"] is False and json.loads(out)["findings"][1]["next_step"] == "install another"
    else:
        assert "fail  codecs" in out and "-> install another" in out


def test_a_malformed_ice_server_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--ice-server", "nowhere"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"s2v: .*ICE server.*\n", err)


def test_a_library_that_calls_need_is_missing_as_a_finding() -> None:
    """In a process of its own: aiortc is loaded here."""
    code = "import sys; sys.modules['aiortc'] = None; from s2v.cli import main; "
    code += "sys.exit(main(['doctor', '--json', '--port', '0']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert any(finding["state"] == "fail" and "aiortc" in finding["found"] for finding in findings)
