from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import pytest

from s2v.cli import main
from s2v.commands.options.face import (
    LEAST_ARTICULATION,
    LEAST_LIVELINESS,
    MOODS,
    MOST_ARTICULATION,
    MOST_LIVELINESS,
    add_face_options,
    avatar_options,
)
from s2v.engine.avatar import AvatarOptions
from s2v.engine.behaviour import options as behaviour
from s2v.engine.behaviour.mood import Mood
from s2v.engine.face.articulation import LEAST, MOST
from s2v.errors import S2vError


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_face_options(parser, max_side_px=1080)
    return parser.parse_args(argv)


def test_what_is_not_typed_is_as_the_library_has_it() -> None:
    assert avatar_options(parsed()) == AvatarOptions()


def test_how_strongly_the_face_speaks_goes_as_far_as_the_engine_lets_it() -> None:
    assert (LEAST_ARTICULATION, MOST_ARTICULATION) == (LEAST, MOST)
    for share in (LEAST, 0.85, MOST):
        assert avatar_options(parsed("--articulation", str(share))).articulation == share


def test_how_much_a_face_moves_and_how_it_looks_go_as_far_as_the_engine_lets_them() -> None:
    assert (LEAST_LIVELINESS, MOST_LIVELINESS) == (behaviour.LEAST, behaviour.MOST)
    for share in (behaviour.LEAST, 0.85, behaviour.MOST):
        assert avatar_options(parsed("--liveliness", str(share))).liveliness == share
    assert get_args(Mood) == MOODS
    for mood in MOODS:
        assert avatar_options(parsed("--mood", mood)).mood == mood


@pytest.mark.parametrize("share", ["-0.01", "1.51", "nan", "inf", "lots", ""])
def test_a_liveliness_that_cannot_be_is_wrong_usage(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parsed(f"--liveliness={share}")
    assert end.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.endswith(f"{share!r} is not a liveliness: give a number from 0 to 1.5")


@pytest.mark.parametrize("given", [["--liveliness", "0"], ["--liveliness", "1"], ["--mood", "neutral"]])
def test_what_would_move_a_face_that_holds_still_is_refused_when_it_is_given(given: list[str]) -> None:
    with pytest.raises(S2vError, match=f"{given[0]} has nothing to move with --no-idle: leave one of them out"):
        avatar_options(parsed("--no-idle", *given))
    assert avatar_options(parsed("--no-idle")) == AvatarOptions(idle_seed=None)


@pytest.mark.parametrize("share", ["0.49", "1.51", "-1", "nan", "inf", "loud", ""])
def test_an_articulation_that_cannot_be_is_wrong_usage(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parsed("--articulation", share)
    assert end.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.endswith(f"{share!r} is not an articulation: give a number from 0.5 to 1.5")


def test_the_background_is_asked_for_as_typed() -> None:
    assert avatar_options(parsed("--background", "#102030")).background == "#102030"


def test_a_background_that_cannot_be_ends_the_command_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = Path(__file__).parents[2] / "data" / "speech.flac"
    code = main(
        ["generate", "--audio", str(speech), "-o", str(tmp_path / "a.mp4"), "--background", str(tmp_path / "sea.jpg")]
    )
    assert code == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "sea.jpg' is no file, no colour and not 'blur'" in said[0]
    assert not list(tmp_path.iterdir())
