"""A page in Chromium whose server goes away, and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from chromium import WATCH, live_server
from pictures import read_picture

from s2v.bundled import BUNDLED_FACE

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
    with live_server(tmp_path / "server.log") as address:
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
    with live_server(tmp_path / "again.log", "--port", address.rpartition(":")[2]):
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
