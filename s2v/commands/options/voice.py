"""Options of `s2v live` that say whose voice drives the face, when it is not each caller's own."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from s2v.commands.options.face import refuse_without_idle
from s2v.errors import StreamError
from s2v.terminal import print_result

if TYPE_CHECKING:
    from s2v.streaming.broadcast.broadcast import BroadcastSource
    from s2v.streaming.sources.portaudio import Microphone


def add_voice_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "one face for everybody", "driven by one of these; everybody sees and hears the same"
    )
    voice = group.add_mutually_exclusive_group()
    voice.add_argument(
        "--mic", nargs="?", const="", metavar="NAME_OR_INDEX",
        help="this machine's microphone: its index, its name or a part of it (without: the default one)",
    )  # fmt: skip
    voice.add_argument("--audio", type=Path, metavar="FILE", help="an audio file, or a video's sound")
    voice.add_argument(
        "--push", action="store_true", help="what a program sends to the WebSocket /audio, as a text-to-speech does"
    )
    group.add_argument("--loop", action="store_true", help="begin --audio again when it ends")
    parser.add_argument(
        "--listen",
        action="store_true",
        help="the face listens to callers: they may turn their microphone on, and it moves as one who is spoken to; "
        "nobody else hears them. Without a voice of its own it says nothing",
    )
    group.add_argument("--list-mics", action="store_true", help="show this machine's microphones and end")
    group.add_argument("--json", action="store_true", help="with --list-mics: as one JSON object")


def broadcast_source_of(args: argparse.Namespace) -> BroadcastSource | None:
    """What drives the one face; None when every caller brings a voice. A file is read elsewhere, as a clip.

    Raises: StreamError, options that do not go together, or no such microphone.
    """
    if args.json and not args.list_mics:
        raise StreamError("--json goes with --list-mics")
    if args.loop and args.audio is None:
        raise StreamError("--loop repeats a file: give it with --audio FILE")
    refuse_without_idle(args, "listen")
    if args.push:
        from s2v.streaming.broadcast.broadcast import BroadcastSource
        from s2v.streaming.sources.push import PushSource

        return BroadcastSource("push", PushSource, waits_for_subscribers=True)
    if args.mic is not None:
        from s2v.streaming.broadcast.broadcast import BroadcastSource
        from s2v.streaming.sources.microphone import MicrophoneSource, list_microphones
        from s2v.streaming.sources.portaudio import choose_microphone

        choose_microphone(list_microphones(), args.mic)  # what is not there is refused now, not at the first visit
        return BroadcastSource(
            "mic", lambda: MicrophoneSource(args.mic), waits_for_subscribers=True
        )  # else it is not open
    return None


def print_microphones(as_json: bool) -> int:
    """Raises: StreamError, PyAudio is missing."""
    from s2v.streaming.sources.microphone import list_microphones

    microphones = list_microphones()
    if as_json:
        print_result(json.dumps({"microphones": [asdict(microphone) for microphone in microphones]}))
    else:
        print_result(_table(microphones))
    return 0


def _table(microphones: list[Microphone]) -> str:
    if not microphones:
        return "this machine has no microphone"
    rows = [f"{m.index:5}  {m.rate_hz:8}  {m.channels:8}  {m.name}{' (default)' * m.default}" for m in microphones]
    return "\n".join([f"{'index':>5}  {'rate, Hz':>8}  {'channels':>8}  name", *rows])
