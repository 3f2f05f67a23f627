"""scripts/_setup.sh on machines of every kind, none of which is this one: what it asks of them is played."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "scripts" / "_setup.sh"
MISSING = """
missing_here() { MISSING=() PURPOSES=(); lacks "a browser" chromium; lacks "sound" pulseaudio libasound2-plugins; }
S2V_BASE=python3
S2V_STEP="[1/1]"
missing_here
"""
APT_GET = 'apt-get() { printf "apt-get %s\\n" "$*"; }\n'
# As `env NAME=value apt-get ...`, but reaching the function above.
ENV = 'env() { shift; "$@"; }\n'
USER = "id() { echo 1000; }\n"
ROOT_USER = "id() { echo 0; }\n"
NO_SUDO = 'command() { [ "${2-}" != sudo ] || return 1; builtin command "$@"; }\n'
SUDO_ASKS = "sudo() { return 1; }\n"
SUDO_LETS = 'sudo() { printf "sudo "; shift; "$@"; }\n'

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def bash(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    whole = f"set -euo pipefail\n. '{SETUP}'\n{script}"
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **variables}
    return subprocess.run(
        ["bash", "-c", whole], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


def test_root_installs_everything_with_one_call() -> None:
    done = bash(APT_GET + ENV + ROOT_USER + NO_SUDO + MISSING + "install_system_packages")
    assert done.returncode == 0, done.stderr
    calls = [line for line in done.stderr.splitlines() if line.startswith("apt-get ")]
    assert len(calls) == 2 and calls[0].endswith(" update")
    assert calls[1].endswith(" install -y --no-install-recommends chromium pulseaudio libasound2-plugins")
    assert done.stderr.startswith("[1/1] installing a browser, sound: apt-get install chromium pulseaudio")


def test_a_user_who_may_use_sudo_needs_no_password() -> None:
    done = bash(APT_GET + ENV + USER + SUDO_LETS + MISSING + "install_system_packages")
    assert done.returncode == 0, done.stderr
    assert "sudo apt-get -o DPkg::Lock::Timeout=300 -q install -y" in done.stderr


def test_a_user_whom_sudo_asks_gets_the_command_with_all_packages() -> None:
    done = bash(APT_GET + USER + SUDO_ASKS + MISSING + "install_system_packages")
    assert done.returncode == 2
    assert done.stderr == (
        "s2v: missing: a browser, sound; run  sudo apt-get update && sudo apt-get install -y "
        "chromium pulseaudio libasound2-plugins  and then this again\n"
    )


def test_where_there_is_no_sudo_nobody_is_told_to_use_it() -> None:
    done = bash(APT_GET + USER + NO_SUDO + MISSING + "install_system_packages")
    assert done.returncode == 2
    assert "sudo" not in done.stderr
    assert "run  apt-get update && apt-get install -y chromium pulseaudio libasound2-plugins  as root" in done.stderr


def test_without_apt_get_the_packages_are_named() -> None:
    no_apt = 'command() { [ "${2-}" != apt-get ] || return 1; builtin command "$@"; }\n'
    done = bash(no_apt + MISSING + "install_system_packages")
    assert done.returncode == 2
    assert "there is no apt-get here: install what Debian calls chromium pulseaudio libasound2-plugins" in done.stderr


def test_a_bare_machine_is_told_all_at_once(tmp_path: Path) -> None:
    """Neither Python nor anything else: no package is named only after others were installed."""
    bare = "find_python() { :; }\nuname() { [ $1 = -s ] && echo Linux || echo x86_64; }\n"
    bare += 'command() { [ "${2-}" = apt-get ] || return 1; }\ncompgen() { return 1; }\n' + APT_GET + USER
    done = bash(bare + f"S2V_PY='{tmp_path}/no'\nset_up test libraries portaudio sound_server browser")
    assert done.returncode == 2
    wanted = {"python3", "python3-venv", "python3-dev", "gcc", "libgl1", "libegl1", "pulseaudio", "chromium"}
    assert wanted <= set(done.stderr.split()), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("system", "processor"), [("Linux", "aarch64"), ("Darwin", "x86_64")])
def test_a_machine_for_which_mediapipe_has_no_build_is_told_so(system: str, processor: str) -> None:
    done = bash(f"uname() {{ [ $1 = -s ] && echo {system} || echo {processor}; }}\nset_up live")
    assert done.returncode == 2
    assert done.stderr.startswith(f"s2v: mediapipe has no build for {system} on {processor}: ")


PLAYED = """
check_machine() { :; }
for name in make_environment install_locked install_torch install_tensorrt_rtx install_checkout; do
  eval "$name() { step $name \\$1; }"
done
"""


def test_steps_are_numbered_and_their_number_is_known() -> None:
    done = bash(PLAYED + "environment_is_good() { return 1; }\nset_up live\nset_up test")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "[1/3] make_environment live",
        "[2/3] install_locked live",
        "[3/3] install_checkout live",
        "[1/5] make_environment test",
        "[2/5] install_locked test",
        "[3/5] install_torch test",
        "[4/5] install_tensorrt_rtx test",
        "[5/5] install_checkout test",
    ]


def test_a_second_run_has_nothing_to_do_or_say_until_the_lock_changes(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    here = PLAYED + f"S2V_VENV='{tmp_path}' S2V_PY='{tmp_path}/bin/python'\n"
    here += "environment_is_good() { :; }\n"
    done = bash(here + 'fingerprint live >"$(stamp live)"\nset_up live')
    assert (done.returncode, done.stderr) == (0, "")
    done = bash(here + 'printf older >"$(stamp live)"\nset_up live')
    assert done.stderr.splitlines() == ["[1/2] install_locked live", "[2/2] install_checkout live"]


def test_a_python_that_is_too_old_or_not_there_is_refused() -> None:
    done = bash("check_machine() { :; }\nset_up live", S2V_PYTHON="python2.7-of-old")
    assert done.returncode == 2
    assert done.stderr == "s2v: S2V_PYTHON=python2.7-of-old is not Python 3.11 or newer\n"
