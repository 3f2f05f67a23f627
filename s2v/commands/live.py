"""The command that serves the talking face: `s2v live`."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from s2v.bundled import BUNDLED_VOICE
from s2v.commands.command import Command
from s2v.commands.options.access import access_of, add_access_options, ice_servers_of, tls_of
from s2v.commands.options.face import add_face_options, avatar_options
from s2v.commands.options.sessions import add_session_options, open_served_faces
from s2v.commands.options.voice import add_voice_options, broadcast_source_of, print_microphones
from s2v.logs import SERVED_BURST
from s2v.terminal import print_note


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_face_options(parser, max_side_px=640)  # two cores encode that live; a file may take its time
    add_voice_options(parser)
    parser.add_argument(
        "--port", type=_port, default=8080, help="port to serve on; 0 takes any free one (default %(default)s)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in this machine's browser")
    add_session_options(parser)
    add_access_options(parser)
    parser.set_defaults(log_burst=SERVED_BURST)


def _run(args: argparse.Namespace) -> int:
    if args.list_mics:
        return print_microphones(args.json)
    broadcast_source, asked = broadcast_source_of(args), avatar_options(args)
    access, tls, ice_servers = access_of(args), tls_of(args), ice_servers_of(args)
    from s2v.machine import use_few_arenas
    from s2v.media.audio_file import read_audio
    from s2v.streaming.server.call_manager import LiveOptions
    from s2v.streaming.server.http_runner import listening
    from s2v.streaming.server.serve import run_live

    def on_ready(url: str) -> None:
        print_note(f"open {url} in a browser (Ctrl-C stops)")
        if args.open:
            import webbrowser

            webbrowser.open(url)

    access.refuse_open_host(args.host)
    use_few_arenas()  # before the runtime starts its threads
    with ExitStack() as stack:
        bound = stack.enter_context(listening(args.host, args.port))  # a port in use is refused before loading
        clip = read_audio(args.audio) if args.audio else None
        shared = clip is not None or broadcast_source is not None
        sample = None if shared or args.listen else read_audio(BUNDLED_VOICE)
        served = stack.enter_context(open_served_faces(args, shared))
        options = LiveOptions(
            served.avatar,
            clip,
            sample,
            args.loop,
            served.max_sessions,
            served.capacity,
            access=access,
            ice_servers=ice_servers,
            faces=served.faces,
            broadcast_source=broadcast_source,
            runtime=served.runtime,
            articulation=None if served.runtime.spec.network == "speech2vid" else args.articulation,
            liveliness=None if args.no_idle else asked.liveliness,
            mood=None if args.no_idle else asked.mood,
            listens=args.listen,
        )
        ended_by = run_live(options, args.host, args.port, on_ready, tls, bound)
    return 128 + ended_by


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a whole number from 0 to 65535")
    return int(text)


COMMAND = Command("live", "serve a page in which the face says what a microphone hears", _add_options, _run)
