"""The page in a real Chromium, with a fake microphone that speaks for 3 s and is silent for 3 s."""

from __future__ import annotations

import json
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

import cv2
import numpy as np
import pytest
from pictures import read_picture

from s2v.bundled import BUNDLED_FACE
from s2v.media.audio_file import read_audio

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")

ROOT = Path(__file__).parents[3]
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


REMEMBER_TIMERS = """
  const set = window.setTimeout, clear = window.clearTimeout;
  window.s2vTimers = new Map();
  window.setTimeout = (work, ms, ...given) => {
    const id = set(work, ms, ...given);
    window.s2vTimers.set(id, ms);
    return id;
  };
  window.clearTimeout = (id) => { window.s2vTimers.delete(id); clear(id); };
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
    command = [sys.executable, str(Path(__file__).parents[1] / "live_on_loopback.py"), "--port", "0", *options]
    with (
        log_path.open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as server,
    ):
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
    page.add_init_script(REMEMBER_TIMERS)
    page.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)
    page.on("pageerror", lambda error: refused.append(str(error)))
    with live(tmp_path / "server.log", "--no-idle") as address:  # a head that moves would carry the mouth along
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

        asked: list[Any] = []
        page.route("**/offer", lambda route: asked.append(route))
        page.get_by_role("button", name="Use my microphone").click()
        while not asked:
            page.wait_for_timeout(20)
        page.get_by_role("button", name="Stop").click()  # before the answer
        with page.expect_response("**/offer"):
            asked[0].continue_()
        page.wait_for_timeout(300)
        assert 60_000 not in page.evaluate("[...window.s2vTimers.values()]"), "it would end the call after this one"
    assert refused == []


@pytest.mark.browser
def test_a_file_speaks_through_the_face_and_the_page_says_when_it_has_ended(page: Any, tmp_path: Path) -> None:
    with live(tmp_path / "server.log", "--audio", str(SPEECH)) as address:
        page.goto(address)
        start = page.get_by_role("button", name="Watch")
        start.wait_for(state="visible")
        assert page.get_by_role("button", name="Use my microphone").count() == 0
        start.click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        looks = np.array(page.evaluate(WATCH, 2.0))
        assert looks[:, 0].max() > 0.01
        page.wait_for_selector("body[data-state=ended]", timeout=10_000)
        start.wait_for(state="visible")


# The look of the whole picture, coarse: what is compared before and after another face is chosen.
LOOK = """() => {
  const video = document.getElementById("face");
  const canvas = Object.assign(document.createElement("canvas"), { width: 24, height: 24 });
  canvas.getContext("2d").drawImage(video, 0, 0, 24, 24);
  return [...canvas.getContext("2d").getImageData(0, 0, 24, 24).data];
}"""


@pytest.mark.browser
def test_a_visitor_brings_a_photo_talks_with_it_and_mutes_either_side(page: Any, tmp_path: Path) -> None:
    mirrored = cv2.flip(read_picture(BUNDLED_FACE), 1)
    mine, nobody = tmp_path / "mine.png", tmp_path / "nobody.png"
    cv2.imwrite(str(mine), cv2.resize(mirrored, (1500, 1500)))  # larger than what the page sends
    cv2.imwrite(str(nobody), np.full((400, 400, 3), 128, np.uint8))
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    with live(tmp_path / "server.log", "--max-sessions", "2") as address:
        page.goto(address)
        page.set_input_files("#photo", str(nobody))
        page.locator("#face-error").get_by_text("No face").wait_for(timeout=15_000)
        assert page.locator("body").get_attribute("data-state") == "idle"

        page.set_input_files("#photo", str(mine))
        page.wait_for_selector("body[data-state=live]", timeout=20_000)  # it looks about before anybody speaks
        assert page.get_by_role("radio", name="mine").is_checked()
        assert not page.locator("#face-error").is_visible()
        page.wait_for_timeout(1500)
        first, _ = page.evaluate(DECODED)
        page.get_by_role("button", name="Turn the microphone on").click()
        page.get_by_role("button", name="Mute the microphone").wait_for(timeout=5000)
        page.wait_for_function(f"async () => (await ({DECODED})())[0] > {first + 25}", timeout=20_000)  # the same call
        page.wait_for_timeout(3000)  # the read-out has seen two looks
        my_look = np.array(page.evaluate(LOOK), float)

        stages = {row.split("\n")[0]: row.split("\n")[1] for row in page.locator("#stages > div").all_inner_texts()}
        assert {"Look-ahead", "Neural network", "Drawing", "Encoding", "Jitter buffer"} <= set(stages), stages
        assert all(re.fullmatch(r"[0-9.]+ ms", shown) for shown in stages.values()), stages
        assert float(page.inner_text("#delay")) > 50 and float(page.inner_text("#fps")) >= 0

        page.get_by_role("button", name="Mute the microphone").click()
        page.get_by_role("button", name="Unmute the microphone").wait_for()
        page.get_by_role("button", name="Mute the face").click()
        assert page.evaluate("document.getElementById('face').muted")
        page.wait_for_timeout(2500)  # what was said before is still on its way
        assert np.array(page.evaluate(WATCH, 3.5))[:, 0].max() < 0.005, "nobody hears the visitor any more"
        page.get_by_role("button", name="Unmute the face").click()

        page.get_by_role("radio", name="Default").check(force=True)
        page.wait_for_selector("body[data-state=connecting]")
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        page.get_by_role("button", name="Turn the microphone on").wait_for()  # who was muted is not heard again
        page.wait_for_timeout(1500)
        other_look = np.array(page.evaluate(LOOK), float)
        assert np.abs(my_look - other_look).mean() > 5, "another face"

        page.keyboard.press("Escape")
        page.wait_for_selector("body[data-state=stopped]")
    assert broken == []


@pytest.mark.browser
def test_a_visitor_without_the_token_is_asked_for_it_and_let_in(page: Any, tmp_path: Path) -> None:
    with live(tmp_path / "server.log", "--token", "a-token-for-this-test") as address:
        page.goto(address)
        page.get_by_label("Token").fill("a-guess-in-its-place")
        page.get_by_role("button", name="Open").click()
        page.get_by_label("Token").fill("a-token-for-this-test")
        page.get_by_role("button", name="Open").click()
        page.get_by_role("button", name="Play the sample voice").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        assert "token" not in page.url


REMEMBER_CHANNEL = """
  const create = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...given) {
    return (window.s2vChannel = create.apply(this, given));
  };
"""
# The page hears once that the server is busy; what the server says of it by itself is left out.
SAY_BUSY = """() => {
  const channel = window.s2vChannel, hear = channel.onmessage;
  channel.onmessage = (event) => JSON.parse(event.data).state === "busy" || hear(event);
  hear({ data: '{"state": "busy", "error": "one line"}' });
}"""
FEW_PICTURES = """() => {
  const entry = { type: "inbound-rtp", kind: "video", framesDecoded: 9 };
  window.s2vPeer().getStats = async () => new Map([["video", { ...entry, timestamp: Date.now() }]]);
}"""


@pytest.mark.browser
def test_a_page_comes_back_to_a_server_that_was_away_and_brings_its_photo_along(page: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.png"
    cv2.imwrite(str(mine), cv2.flip(read_picture(BUNDLED_FACE), 1))
    posted: list[Any] = []
    page.add_init_script(REMEMBER_CHANNEL)
    page.on(
        "request", lambda request: posted.append(request.post_data_json) if request.url.endswith("/offer") else None
    )
    with live(tmp_path / "server.log") as address:
        page.goto(address)
        page.set_input_files("#photo", str(mine))
        page.wait_for_selector("body[data-state=live]", timeout=20_000)
        page.get_by_role("slider", name="Articulation").fill("0.7")
        page.get_by_role("button", name="Turn the microphone on").click()
        page.get_by_role("button", name="Mute the microphone").wait_for(timeout=5000)
        # a photo that the server has forgotten meanwhile is sent again as well
        page.evaluate("(id) => fetch(`/faces/${id}`, { method: 'DELETE' })", posted[-1]["face"])
        page.get_by_role("combobox", name="Mood").select_option("Serious")  # in a call of its own
        page.wait_for_function("() => document.body.dataset.state === 'connecting'", timeout=5000)
        page.wait_for_selector("body[data-state=live]", timeout=20_000)
        page.get_by_role("button", name="Mute the microphone").wait_for(timeout=5000)
        before = posted[-1]
    page.wait_for_selector("body[data-state=waiting]", timeout=15_000)
    page.get_by_text("Connecting again in").wait_for(timeout=5000)
    with live(tmp_path / "again.log", "--port", address.rpartition(":")[2]):
        page.wait_for_selector("body[data-state=live]", timeout=30_000)
        assert page.get_by_role("radio", name="mine").is_checked() and not page.locator("#error").is_visible()
        page.get_by_role("button", name="Mute the microphone").wait_for(timeout=5000)
        after = posted[-1]
        assert (after["input"], after["articulation"], after["mood"]) == ("mic", 0.7, "serious")
        assert len({offer["face"] for offer in posted}) == 3 and after["face"] != before["face"], "sent three times"
        assert np.array(page.evaluate(WATCH, 4.5))[:, 0].max() > 0.01, "the microphone is heard again"

        page.evaluate(SAY_BUSY)
        assert page.inner_text("#state") == "Server busy" and page.locator("#trouble").is_visible()
        page.wait_for_function("() => document.getElementById('state').textContent !== 'Server busy'", timeout=10_000)
        page.evaluate(FEW_PICTURES)
        page.get_by_role("status").get_by_text("Picture slow").wait_for(timeout=10_000)
    page.wait_for_selector("body[data-state=waiting]", timeout=15_000)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("body[data-state=stopped]")
    asked = len(posted)
    page.get_by_role("button", name="Use my microphone").click()
    page.get_by_text("The server cannot be reached").wait_for(timeout=10_000)
    page.wait_for_timeout(1500)
    assert len(posted) == asked + 1, "a call that never came about is not begun again"


# What the page says to the server while a call is on.
REMEMBER_WISHES = """
  window.s2vSaid = [];
  const send = RTCDataChannel.prototype.send;
  RTCDataChannel.prototype.send = function (text) { window.s2vSaid.push(text); return send.call(this, text); };
"""


@pytest.mark.browser
def test_a_visitor_moves_the_sliders_and_the_face_goes_on_speaking(page: Any, tmp_path: Path) -> None:
    posted: list[Any] = []
    page.add_init_script(REMEMBER_WISHES)
    page.on(
        "request", lambda request: posted.append(request.post_data_json) if request.url.endswith("/offer") else None
    )
    with live(tmp_path / "server.log", "--articulation", "0.8", "--liveliness", "1.2", "--mood", "serious") as address:
        page.goto(address)
        slider = page.get_by_role("slider", name="Articulation")
        slider.wait_for(state="visible")
        assert slider.input_value() == "0.8" and page.locator("#articulation-value").inner_text() == "80 %"
        slider.fill("0.5")
        lively = page.get_by_role("slider", name="Liveliness")
        assert lively.input_value() == "1.2" and page.locator("#liveliness-value").inner_text() == "120 %"
        mood = page.get_by_role("combobox", name="Mood")
        assert mood.input_value() == "serious" and mood.inner_text().split() == ["Neutral", "Friendly", "Serious"]
        mood.select_option("Friendly")
        page.get_by_role("button", name="Play the sample voice").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        assert [(offer["articulation"], offer["liveliness"], offer["mood"]) for offer in posted] == [
            (0.5, 1.2, "friendly")
        ]
        for share in ("0.7", "1.1", "1.5"):  # faster than it is told
            slider.fill(share)
        page.wait_for_function("() => window.s2vSaid.at(-1) === '{\"articulation\":1.5}'", timeout=5000)
        assert page.locator("#articulation-value").inner_text() == "150 %"
        assert len(page.evaluate("window.s2vSaid")) <= 3, "not every step of the way"
        lively.fill("0.2")
        slider.fill("1.2")
        page.wait_for_function(
            """() => {
              const said = Object.assign({}, ...window.s2vSaid.map(JSON.parse));
              return said.liveliness === 0.2 && said.articulation === 1.2;
            }""",
            timeout=5000,
        )
        assert page.locator("#liveliness-value").inner_text() == "20 %"
        looks = np.array(page.evaluate(WATCH, 2.0))
        assert looks[:, 1].max() > 0.5, "the mouth moves"
        assert page.locator("body").get_attribute("data-state") == "live" and not page.locator("#error").is_visible()
        mood.select_option("Neutral")  # in a call of its own
        page.wait_for_function("() => document.body.dataset.state === 'connecting'", timeout=5000)
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        assert [offer["mood"] for offer in posted if offer["liveliness"] == 0.2][-1] == "neutral"

    with live(tmp_path / "shared.log", "--audio", str(SPEECH)) as address:  # everybody sees the same
        page.goto(address)
        page.get_by_role("button", name="Watch").wait_for(state="visible")
        assert not page.get_by_role("slider").count() and not page.get_by_role("combobox", name="Mood").count()
        page.get_by_role("button", name="Watch").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        assert not page.locator("#microphone").is_visible(), "it does not listen"


@pytest.mark.browser
def test_what_a_visitor_changes_while_a_call_comes_about_holds_in_it(page: Any, tmp_path: Path) -> None:
    held: list[Any] = []
    page.add_init_script(REMEMBER_WISHES)
    with live(tmp_path / "server.log") as address:
        page.goto(address)
        page.get_by_role("button", name="Use my microphone").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        page.get_by_role("button", name="Mute the microphone").click()
        page.route("**/offer", lambda route: held.append(route))
        with page.expect_request("**/offer"):
            page.get_by_role("combobox", name="Mood").select_option("Friendly")  # another call, its microphone off
        page.get_by_role("button", name="Turn the microphone on").click()
        page.get_by_role("button", name="Mute the microphone").wait_for(state="visible", timeout=10_000)
        page.evaluate("window.s2vSaid.length = 0")
        page.get_by_role("slider", name="Articulation").fill("0.7")
        page.wait_for_timeout(500)  # longer than the page saves up what it says
        assert page.evaluate("window.s2vSaid") == [], "there is no channel yet"
        (offer,) = held
        offer.continue_()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        page.wait_for_function(
            "() => window.s2vSaid.some((said) => JSON.parse(said).articulation === 0.7)", timeout=5000
        )
        loudness = np.array(page.evaluate(WATCH, 4.5))[:, 0]  # the microphone is silent for 3 s at most
        assert loudness.max() > 0.02, "the microphone that shows as on is heard"


@pytest.mark.browser
def test_a_visitor_of_a_face_that_listens_turns_the_microphone_on_and_is_heard(page: Any, tmp_path: Path) -> None:
    def heard() -> int:
        state = json.loads(page.evaluate("fetch('/state').then((reply) => reply.text())"))
        return int(state["broadcast"]["heard"])

    with live(tmp_path / "server.log", "--audio", str(SPEECH), "--loop", "--listen") as address:
        page.goto(address)
        page.get_by_text("Turn your microphone on in the call and the face hears you").wait_for(state="visible")
        page.get_by_role("button", name="Watch").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        page.get_by_role("button", name="Turn the microphone on").click()
        page.get_by_role("button", name="Mute the microphone").wait_for(state="visible", timeout=10_000)
        assert heard() == 1
        looks = np.array(page.evaluate(WATCH, 2.0))
        assert looks[:, 1].max() > 0.5, "the mouth moves"
        page.get_by_role("button", name="Stop").click()
        for _ in range(100):
            if heard() == 0:
                break
            page.wait_for_timeout(100)
        assert heard() == 0

    with live(tmp_path / "call.log", "--listen") as address:
        page.goto(address)
        page.get_by_role("heading", name="A face that listens").wait_for(state="visible")
        page.get_by_role("button", name="Use my microphone").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        looks = np.array(page.evaluate(WATCH, 2.0))
        assert looks[:, 0].max() < 0.01, "it says nothing"
