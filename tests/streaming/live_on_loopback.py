"""`s2v live` in a process of its own, with connection candidates on 127.0.0.1 only; arguments as `s2v live`'s."""

from __future__ import annotations

import sys

from s2v.cli import main
from s2v.streaming.webrtc.aiortc_internals import change_host_addresses

if __name__ == "__main__":
    assert change_host_addresses(lambda _: ["127.0.0.1"])
    sys.exit(main(["live", *sys.argv[1:]]))
