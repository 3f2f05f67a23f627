"""The page's files hang together: what one names is in the other, and all of it is served."""

from __future__ import annotations

import asyncio
import re
from dataclasses import fields

import pytest
from aiohttp.test_utils import TestClient, TestServer
from streaming.fakes import fake_avatar

from s2v.engine.behaviour import options as behaviour
from s2v.engine.face import articulation
from s2v.streaming.server.access import STATIC
from s2v.streaming.server.app import create_app
from s2v.streaming.server.call_manager import LiveOptions
from s2v.streaming.session.wishes import Wishes

PAGE = (STATIC / "index.html").read_text(encoding="utf-8")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
STYLE = (STATIC / "page.css").read_text(encoding="utf-8")


def test_every_module_is_imported_and_served_as_a_script() -> None:
    reached, waiting = set(), ["page.js"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += set(re.findall(r'from "\./(\w+\.js)"', SCRIPTS[name])) - reached
    assert reached == set(SCRIPTS)

    async def look() -> None:
        async with TestClient(TestServer(create_app(LiveOptions(fake_avatar())))) as client:
            for name in reached:
                reply = await client.get(f"/static/{name}")
                assert reply.status == 200 and "javascript" in reply.content_type, name

    asyncio.run(look())


def test_the_scripts_find_their_elements_and_labels_theirs() -> None:
    ids = re.findall(r'\bid="([^"]+)"', PAGE)
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'byId\("([^"]+)"\)', SCRIPTS["page.js"]))
    assert wanted <= set(ids), wanted - set(ids)
    assert set(re.findall(r'\bfor="([^"]+)"', PAGE)) <= set(ids)


def test_nothing_needs_what_the_content_policy_forbids() -> None:
    for name, text in {"index.html": PAGE, **SCRIPTS, "page.css": STYLE}.items():
        assert not re.search(r"https?://|\bdata:|@import|\beval\(|innerHTML", text), name
    assert not re.search(r"<style|\bstyle=|\bon\w+=|<script(?![^>]*\bsrc=)", PAGE)


def test_every_stage_has_its_colour_in_both_themes() -> None:
    stages = set(re.findall(r"^  (\w+): \"", SCRIPTS["readout.js"], re.MULTILINE))
    assert len(stages) == 9
    for stage in stages:
        assert f'[data-stage="{stage}"] {{ --stage: var(--{stage}); }}' in STYLE
        assert len(re.findall(rf"--{stage}: #", STYLE)) == 2, stage


def test_those_who_move_little_and_those_who_touch_are_thought_of() -> None:
    assert "prefers-reduced-motion: reduce" in STYLE and "prefers-color-scheme: light" in STYLE
    assert "safe-area-inset-top" in STYLE and "viewport-fit=cover" in PAGE
    assert 'role="status"' in PAGE and PAGE.count('role="alert"') == 2


@pytest.mark.parametrize("name", [field.name for field in fields(Wishes)])
def test_a_slider_goes_as_far_as_the_engine_and_says_what_it_does(name: str) -> None:
    of = {"articulation": articulation, "liveliness": behaviour}[name]
    (slider,) = re.findall(rf'<input id="{name}"[^>]*>', PAGE)
    given = dict(re.findall(r'([\w-]+)="([^"]*)"', slider))
    assert (float(given["min"]), float(given["max"]), float(given["value"])) == (of.LEAST, of.MOST, of.USUAL)
    steps = (of.USUAL - of.LEAST) / float(given["step"])
    assert steps == pytest.approx(round(steps)), "it can come back"
    assert f'<label for="{name}">{name.capitalize()}</label>' in PAGE
    assert f'id="{given["aria-describedby"]}"' in PAGE and f'<output id="{name}-value" for="{name}">' in PAGE
    assert f'id="{name}-block"' in PAGE and f'"{name}"' in SCRIPTS["page.js"].split("const SLIDERS = ")[1].split(";")[0]


def test_the_page_says_that_the_motion_is_nobodys() -> None:
    note = " ".join(PAGE.split('class="note">')[1].split("</p>")[0].split())
    assert "How head, brows and eyes move is invented from the sound" in note and "it is not how you move" in note
