"""Small shards of made clips, and a server that gives parts of files as object storage does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np

from s2v.spec import TRACT_VARIABLES, LipSyncSpec
from s2v.training.prepare.change_shards import replace_split
from s2v.training.shard_file import Sample
from s2v.training.shard_spec import shard_spec
from s2v.training.shard_store import FORMAT

SPEC = LipSyncSpec()


def made_sample(
    clip: str, n_frames: int = 40, number: int = 1, talker: str = "", pictures: Sequence[int] = (), known: bool = False
) -> Sample:
    """A clip of noise whose motion is one number in every frame; the picture of frame f is as bright as f + 50."""
    dice = np.random.default_rng(number)
    pcm = dice.normal(0, 3000, n_frames * 640).astype(np.int16)
    motion = np.full((n_frames, SPEC.n_motion), number, np.float32)
    tract = np.full((n_frames, len(TRACT_VARIABLES)), 0.5 if known else np.nan, np.float32)
    jpegs = {frame: _grey(frame + 50) for frame in pictures}
    frames = tuple(pictures)
    return Sample(
        clip, talker or clip.split("/")[0], "train", "", pcm, motion, motion[:, 0], tract, jpegs, frames, frames
    )


def _grey(level: int) -> bytes:
    return cv2.imencode(".jpg", np.full((SPEC.face_px, SPEC.face_px, 3), level, np.uint8))[1].tobytes()


def make_shards(folder: Path, clips_per_shard: int = 3, **splits: Sequence[Sample]) -> Path:
    """A folder as prepare-data writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"format": FORMAT, "shards": {}, "spec": shard_spec(SPEC)}
    (folder / "meta.json").write_text(json.dumps(meta))
    for split, samples in splits.items():
        replace_split(folder, split, samples, clips_per_shard)
    return folder


@contextmanager
def served(
    folder: Path, ranges: bool = True, failures: Mapping[str, int] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The URL of a folder on this machine, and what has been asked for.

    Args: ranges: whether parts of files are given. failures: how many times 503 is the answer first, by name.
    """
    left, asked = dict(failures or {}), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            asked.append(f"{self.path} {part[0] if part else ''}".strip())
            place, code = folder / name, 206 if part and ranges else 200
            if left.get(name, 0) > 0:
                left[name] -= 1
                code = 503
            elif not place.is_file():
                code = 404
            body = place.read_bytes() if code < 400 else b""
            body = body[int(part[1]) : int(part[2]) + 1] if part and code == 206 else body
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/bucket", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
