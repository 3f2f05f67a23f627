"""The page in a real Chromium, with a fake microphone that speaks for 3 s and is silent for 3 s."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2v.streaming.audio_file import read_audio

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "tests" / "data" / "speech.flac"
# The names that scripts/test looks for.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("S2V_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
]

# Watches the page for some seconds: loudness of the voice that comes back, and how much the mouth has changed
# since the look before. The mouth is in the lower middle of a portrait.
WATCH = """async (seconds) => {
  const video = document.getElementById("face");
  const audio = new AudioContext();
  const analyser = audio.createAnalyser();
  audio.createMediaStreamSource(video.srcObject).connect(analyser);
  const pcm = new Float32Array(analyser.fftSize);
  const canvas = Object.assign(document.createElement("canvas"), { width: 48, height: 32 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const looks = [];
  let before = null;
  const until = performance.now() + 1000 * seconds;
  while (performance.now() < until) {
    await new Promise((done) => setTimeout(done, 80));
    const { videoWidth: w, videoHeight: h } = video;
    context.drawImage(video, 0.3 * w, 0.5 * h, 0.4 * w, 0.4 * h, 0, 0, 48, 32);
    const now = context.getImageData(0, 0, 48, 32).data;
    analyser.getFloatTimeDomainData(pcm);
    const loudness = Math.sqrt(pcm.reduce((sum, x) => sum + x * x, 0) / pcm.length);
    if (before) looks.push([loudness, now.reduce((sum, x, i) => sum + Math.abs(x - before[i]), 0) / now.length]);
    before = now;
  }
  audio.close();
  return looks;
}"""

DECODED = """async () => {
  for (const entry of (await window.s2vPeer().getStats()).values())
    if (entry.type === "inbound-rtp" && entry.kind === "video") return [entry.framesDecoded, entry.timestamp];
  return [0, 0];
}"""

# The page keeps its connection to itself; remember it as it is made.
REMEMBER_PEER = """
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original { constructor(...a) { super(...a); window.s2vPeer = () => this; } };
"""


@pytest.fixture
def microphone(tmp_path: Path) -> Path:
    """48 kHz WAV, which Chromium plays over and over: 3 s of speech, 3 s of silence."""
    speech = read_audio(SPEECH).pcm_48k[: 3 * 48_000]
    pcm = np.zeros(6 * 48_000, np.float32)
    pcm[: len(speech)] = speech / np.abs(speech).max() * 0.7
    path = tmp_path / "microphone.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes((pcm * 32767).astype("<i2").tobytes())
    return path


@contextmanager
def live(log_path: Path, *options: str) -> Iterator[str]:
    """`s2v live` with the bundled model and face; its address. It must end cleanly on SIGTERM."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).with_name("live_on_loopback.py")), "--port", "0", *options]
    with log_path.open("wb") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert server.stdout is not None
        said = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert said, log_path.read_text()
        yield said.group()
        server.terminate()
        assert server.wait(10) == 128 + signal.SIGTERM, log_path.read_text()
        assert "Traceback" not in log_path.read_text()
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def page(microphone: Path) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: install one or set S2V_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_context(permissions=["microphone"]).new_page()
        page.add_init_script(REMEMBER_PEER)
        yield page
        browser.close()


@pytest.mark.browser
def test_a_microphone_makes_the_face_talk_and_silence_keeps_it_still(page: Any, tmp_path: Path) -> None:
    refused: list[str] = []
    page.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)
    page.on("pageerror", lambda error: refused.append(str(error)))
    with live(tmp_path / "server.log") as address:
        page.goto(address)
        page.get_by_role("button", name="Use my microphone").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        page.wait_for_timeout(2000)  # past the first keyframes and the browser's own start
        assert page.evaluate("document.getElementById('face').videoWidth") > 0

        first, began_ms = page.evaluate(DECODED)
        looks = np.array(page.evaluate(WATCH, 12.5))
        last, ended_ms = page.evaluate(DECODED)
        fps = (last - first) * 1000 / (ended_ms - began_ms)
        assert fps >= 20, f"{fps:.1f} fps"

        loudness, motion = looks[:, 0], looks[:, 1]
        assert loudness.max() > 0.02, "the voice comes back"
        voiced = loudness > 0.1 * np.percentile(loudness, 90)
        silent = ~np.convolve(voiced, np.ones(9), "same").astype(bool)  # nothing said within 0.35 s
        assert silent.sum() >= 20 and voiced.sum() >= 20, (int(silent.sum()), int(voiced.sum()))
        print(
            f"{fps:.1f} fps; the mouth moves {motion[voiced].mean():.2f} speaking, {motion[silent].mean():.2f} silent"
        )
        assert motion[voiced].mean() > 3 * motion[silent].mean(), (motion[voiced].mean(), motion[silent].mean())
        assert motion[voiced].mean() > 0.5, "grey levels"

        page.get_by_role("button", name="Stop").click()
        page.wait_for_selector("body[data-state=stopped]")
        page.wait_for_timeout(1500)
        assert page.evaluate("async () => (await (await fetch('/health')).json()).sessions") == 0
    assert refused == []


@pytest.mark.browser
def test_a_file_speaks_through_the_face_and_the_page_says_when_it_has_ended(page: Any, tmp_path: Path) -> None:
    with live(tmp_path / "server.log", "--audio", str(SPEECH)) as address:
        page.goto(address)
        start = page.get_by_role("button", name="Let the face speak")
        start.wait_for(state="visible")
        assert page.get_by_role("button", name="Use my microphone").count() == 0
        start.click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        looks = np.array(page.evaluate(WATCH, 2.0))
        assert looks[:, 0].max() > 0.01
        page.wait_for_selector("body[data-state=ended]", timeout=10_000)
        start.wait_for(state="visible")


@pytest.mark.browser
def test_the_server_ends_while_a_call_is_on_and_the_page_notices(page: Any, tmp_path: Path) -> None:
    with live(tmp_path / "server.log") as address:
        page.goto(address)
        page.get_by_role("button", name="Play the sample voice").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
    page.wait_for_selector("body[data-state=lost]", timeout=15_000)
    page.get_by_role("button", name="Play the sample voice").click()
    page.get_by_text("The server cannot be reached").wait_for(timeout=10_000)
