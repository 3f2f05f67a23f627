"""A program speaks with the face of `s2v live --push`: any text-to-speech, or any 16-bit mono wav, over the WebSocket.

Sound is sent faster than it is heard, but never far ahead: what has been sent is what an interruption throws away.

python examples/speak_from_tts.py "Hello, I am a photo."
python examples/speak_from_tts.py --audio speech.wav --url https://example.org --token TOKEN
python examples/speak_from_tts.py "This is cut off." --interrupt-after 1
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shutil
import subprocess
import sys
import time
import wave
from typing import Any

import aiohttp

PIECE_S = 0.1  # of sound in one message
AHEAD_S = 5.0  # at most, before the next piece is sent


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", help="what espeak-ng says")
    parser.add_argument("--audio", metavar="WAV", help="16-bit mono, 8000 to 48000 Hz, instead of a text")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of s2v live --push (default %(default)s)")
    parser.add_argument("--token", default=os.environ.get("S2V_TOKEN"), help="of the server; $S2V_TOKEN works too")
    parser.add_argument("--interrupt-after", type=float, metavar="S", help="say no more after this time")
    return parser


def speech_of(text: str | None, path: str | None) -> tuple[bytes, int]:
    """16-bit mono PCM and its rate in Hz: put your own text-to-speech here."""
    if path is None:
        if shutil.which("espeak-ng") is None:
            raise ValueError("espeak-ng is not installed: install it, or give --audio WAV")
        command = ["espeak-ng", "--stdout", "--", text or ""]
        wav = io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)
    with wave.open(wav if path is None else path) as sound:
        if (sound.getnchannels(), sound.getsampwidth()) != (1, 2):
            found = f"{sound.getnchannels()} channels of {8 * sound.getsampwidth()} bits"
            raise ValueError(f"{path} has {found}: give one channel of 16 bits")
        return sound.readframes(sound.getnframes()), sound.getframerate()


async def told(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next message of this kind. Raises: ValueError, the server says what is wrong."""
    while (message := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
        body: dict[str, Any] = message.json()
        if body["type"] == "error":
            raise ValueError(body["error"])
        if body["type"] == kind:
            return body
    raise ValueError(f"the server has hung up ({socket.close_code})")


async def say(socket: aiohttp.ClientWebSocketResponse, pcm: bytes, rate_hz: int) -> None:
    """Send an utterance, and return when it has been heard."""
    began_s, piece = time.monotonic(), 2 * round(PIECE_S * rate_hz)
    for start in range(0, len(pcm), piece):
        await socket.send_bytes(pcm[start : start + piece])
        ahead_s = (start + piece) / (2 * rate_hz) - (time.monotonic() - began_s)
        await asyncio.sleep(max(ahead_s - AHEAD_S, 0.0))
    await socket.send_json({"type": "flush"})
    await told(socket, "played")
    print(f"heard after {time.monotonic() - began_s:.1f} s")


async def speak(url: str, token: str | None, pcm: bytes, rate_hz: int, interrupt_after_s: float | None) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.ws_connect(f"{url.rstrip('/')}/audio", params={"rate": rate_hz}) as socket,
    ):
        await told(socket, "ready")
        try:
            async with asyncio.timeout(interrupt_after_s):
                await say(socket, pcm, rate_hz)
        except TimeoutError:  # somebody answered back
            await socket.send_json({"type": "clear"})
            print(f"forgotten: {(await told(socket, 'cleared'))['forgotten_ms']} ms")


def main() -> int:
    parser = build_parser()
    args = parser.parse_args()
    if (args.text is None) == (args.audio is None):
        parser.error("give a text, or --audio WAV")
    try:
        asyncio.run(speak(args.url, args.token, *speech_of(args.text, args.audio), args.interrupt_after))
    except KeyboardInterrupt:
        pass
    except (aiohttp.ClientError, OSError, subprocess.CalledProcessError, ValueError, wave.Error, EOFError) as error:
        print(f"speak_from_tts: {error or type(error).__name__}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
