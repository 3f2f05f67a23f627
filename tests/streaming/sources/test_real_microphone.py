"""PortAudio itself, on a PulseAudio server of the test's own whose only microphone hears what the test plays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streaming.fakes import tone
from streaming.media import write_sound

ROOT = Path(__file__).parents[3]
pytest.importorskip("pyaudio", reason="PyAudio is not installed: pip install -e .[mic]")
PROGRAMS = ("pulseaudio", "pactl", "paplay")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
pytestmark = [
    pytest.mark.microphone,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: pulseaudio-utils)"),
    pytest.mark.skipif(
        not list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")),
        reason="ALSA's way to PulseAudio is not installed (Debian: libasound2-plugins)",
    ),
]

LISTEN = """
import asyncio, json, sys, time
import numpy as np
from s2v.streaming.sources.microphone import MicrophoneSource

async def main():
    source, end = MicrophoneSource(), None
    async def read():
        while (chunk := await source.read()) is not None:
            said = {"end": chunk.voice_end, "at_s": time.monotonic(), **source.stats()}
            said["rms"] = float(np.sqrt(np.mean(chunk.voice**2)))
            spectrum = np.abs(np.fft.rfft(chunk.voice))
            said["hz"] = float(np.argmax(spectrum) * 48_000 / max(len(chunk.voice), 1))
            print(json.dumps(said), flush=True)
    reading = asyncio.create_task(read())
    await asyncio.to_thread(sys.stdin.readline)
    source.close()
    await reading
    await source.wait_closed()
    print(json.dumps({"closed": True}), flush=True)

asyncio.run(main())
"""


class SoundServer:
    """PulseAudio with a loudspeaker that plays into a microphone, for programs with `environment`."""

    def __init__(self, folder: Path) -> None:
        runtime = folder / "pulse"
        runtime.mkdir(mode=0o700)
        config = folder / "asound.conf"
        config.write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        python_path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "PULSE_RUNTIME_PATH": str(runtime),
            "ALSA_CONFIG_PATH": str(config),
            "PYTHONPATH": python_path,
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        modules = (
            "module-native-protocol-unix",
            "module-null-sink sink_name=speaker rate=48000 channels=1",
            "module-remap-source master=speaker.monitor source_name=microphone",
        )
        options = [
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--realtime=no",
        ]
        load = [word for module in modules for word in ("-L", module)]
        self._begin("pulseaudio", *options, *load)
        for _ in range(100):
            if self._run("pactl", "set-default-source", "microphone"):
                return
            time.sleep(0.1)
        pytest.skip("pulseaudio does not start here")

    def play(self, path: Path) -> None:
        """Over and over, until `stop`."""
        self._begin("sh", "-c", 'while paplay --device=speaker "$0"; do :; done', str(path))

    def stop(self) -> None:
        """As if it were unplugged: everything ends at once."""
        for process in reversed(self._processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def _begin(self, *command: str) -> None:
        self._processes.append(
            subprocess.Popen(
                command,
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def _run(self, *command: str) -> bool:
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=20).returncode == 0


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[SoundServer]:
    server = SoundServer(tmp_path)
    try:
        server.start()
        server.play(write_sound(tmp_path / "tone.wav", tone(5.0, 440.0), 48_000))
        yield server
    finally:
        server.stop()


def s2v(sound: SoundServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "s2v", "live", *arguments]
    return subprocess.run(command, env=sound.environment, capture_output=True, text=True, timeout=60)


def test_the_microphone_is_listed_and_nothing_else_is_said(sound: SoundServer) -> None:
    listed = s2v(sound, "--list-mics", "--json")
    assert listed.returncode == 0 and listed.stderr == ""
    names = {microphone["name"]: microphone for microphone in json.loads(listed.stdout)["microphones"]}
    assert names["default"]["default"]
    assert "default (default)" in s2v(sound, "--list-mics").stdout
    refused = s2v(sound, "--mic", "theremin")
    assert refused.returncode == 2 and refused.stderr.startswith("s2v: no microphone is called 'theremin'")
    assert refused.stderr.count("\n") == 1


def test_it_is_heard_goes_silent_when_it_vanishes_and_is_heard_again(sound: SoundServer, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN],
        env=sound.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as listener:  # fmt: skip
        assert listener.stdin is not None and listener.stdout is not None and listener.stderr is not None
        try:
            lines = (json.loads(line) for line in listener.stdout)
            heard = [chunk for chunk, _ in zip((c for c in lines if c["rms"] > 0.1), range(50), strict=False)]
            assert np.median([chunk["hz"] for chunk in heard]) == pytest.approx(440, abs=100)
            sound.stop()
            away = next(chunk for chunk in lines if not chunk["connected"])
            silent = [chunk for chunk, _ in zip(lines, range(50), strict=False)]
            assert all(chunk["rms"] == 0 for chunk in silent)
            passed_s = silent[-1]["at_s"] - away["at_s"]
            assert silent[-1]["end"] - away["end"] == pytest.approx(48_000 * passed_s, rel=0.1), "time goes on"
            sound.start()
            sound.play(tmp_path / "tone.wav")
            again = next(chunk for chunk in lines if chunk["rms"] > 0.1)
            assert again["openings"] >= 2 and again["connected"]
            listener.stdin.write("\n")
            listener.stdin.flush()
            assert list(lines)[-1] == {"closed": True}
            assert listener.wait(10) == 0
        finally:
            listener.kill()
