"""The page in a real Chromium, whose microphone speaks for 3 s and is silent for 3 s, whenever it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import BROWSERS, CHROMIUM, FLAGS, REMEMBER_PEER, write_microphone


@pytest.fixture(scope="module")  # not longer: while it is there, no other test can run an event loop
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    reason = "playwright is not installed: pip install -e .[dev]"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    if CHROMIUM is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: install one or set S2V_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        microphone = write_microphone(tmp_path_factory.mktemp("browser") / "microphone.wav")
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(permissions=["microphone"])
    page = context.new_page()
    page.add_init_script(REMEMBER_PEER)
    yield page
    context.close()
