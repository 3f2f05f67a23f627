"""A visitor of the page in Chromium: talks, watches, brings a photo, is asked for a token."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from chromium import DECODED, SPEECH, WATCH, live_server
from pictures import read_picture

from s2v.bundled import BUNDLED_FACE

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


@pytest.mark.browser
def test_a_microphone_makes_the_face_talk_and_silence_keeps_it_still(page: Any, tmp_path: Path) -> None:
    refused: list[str] = []
    page.add_init_script(REMEMBER_TIMERS)
    page.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)
    page.on("pageerror", lambda error: refused.append(str(error)))
    with live_server(tmp_path / "server.log", "--no-idle") as address:  # a head that moves would carry the mouth along
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
    with live_server(tmp_path / "server.log", "--audio", str(SPEECH)) as address:
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
    with live_server(tmp_path / "server.log", "--max-sessions", "2") as address:
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
    with live_server(tmp_path / "server.log", "--token", "a-token-for-this-test") as address:
        page.goto(address)
        page.get_by_label("Token").fill("a-guess-in-its-place")
        page.get_by_role("button", name="Open").click()
        page.get_by_label("Token").fill("a-token-for-this-test")
        page.get_by_role("button", name="Open").click()
        page.get_by_role("button", name="Play the sample voice").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        assert "token" not in page.url


@pytest.mark.browser
def test_a_visitor_of_a_face_that_listens_turns_the_microphone_on_and_is_heard(page: Any, tmp_path: Path) -> None:
    def heard() -> int:
        state = json.loads(page.evaluate("fetch('/state').then((reply) => reply.text())"))
        return int(state["broadcast"]["heard"])

    with live_server(tmp_path / "server.log", "--audio", str(SPEECH), "--loop", "--listen") as address:
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

    with live_server(tmp_path / "call.log", "--listen") as address:
        page.goto(address)
        page.get_by_role("heading", name="A face that listens").wait_for(state="visible")
        page.get_by_role("button", name="Use my microphone").click()
        page.wait_for_selector("body[data-state=live]", timeout=15_000)
        looks = np.array(page.evaluate(WATCH, 2.0))
        assert looks[:, 0].max() < 0.01, "it says nothing"
