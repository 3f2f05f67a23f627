"""A real Chromium in front of a real server: what the browser tests share."""

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

import numpy as np

from s2v.media.audio_file import read_audio

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


def write_microphone(path: Path) -> Path:
    """48 kHz WAV, which Chromium plays over and over: 3 s of speech, 3 s of silence."""
    speech = read_audio(SPEECH).pcm_48k[: 3 * 48_000]
    pcm = np.zeros(6 * 48_000, np.float32)
    pcm[: len(speech)] = speech / np.abs(speech).max() * 0.7
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes((pcm * 32767).astype("<i2").tobytes())
    return path


@contextmanager
def live_server(log_path: Path, *options: str) -> Iterator[str]:
    """`s2v live` with the bundled model and face; its address. It must end cleanly on SIGTERM."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "streaming" / "live_on_loopback.py"), "--port", "0", *options]
    with (
        log_path.open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as server,
    ):
        try:
            assert server.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
            assert address, log_path.read_text()
            yield address.group()
            server.terminate()
            assert server.wait(10) == 128 + signal.SIGTERM, log_path.read_text()
            assert "Traceback" not in log_path.read_text()
        finally:
            server.kill()
