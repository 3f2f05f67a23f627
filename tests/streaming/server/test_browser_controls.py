"""What a visitor sets on the page in Chromium holds in the call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import SPEECH, WATCH, live_server

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
    with live_server(
        tmp_path / "server.log", "--articulation", "0.8", "--liveliness", "1.2", "--mood", "serious"
    ) as address:
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

    with live_server(tmp_path / "shared.log", "--audio", str(SPEECH)) as address:  # everybody sees the same
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
    with live_server(tmp_path / "server.log") as address:
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
