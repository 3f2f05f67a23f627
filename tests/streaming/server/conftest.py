"""The page in a real Chromium, whose microphone speaks for 3 s and is silent for 3 s."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import BROWSERS, CHROMIUM, FLAGS, REMEMBER_PEER, write_microphone


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    reason = "playwright is not installed: pip install -e .[dev]"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    if CHROMIUM is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: install one or set S2V_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        microphone = write_microphone(tmp_path / "microphone.wav")
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_context(permissions=["microphone"]).new_page()
        page.add_init_script(REMEMBER_PEER)
        yield page
        browser.close()
