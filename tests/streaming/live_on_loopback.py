"""`s2v live` in a process of its own, with connection candidates on 127.0.0.1 only; arguments as `s2v live`'s."""

from __future__ import annotations

import sys

import aioice.ice

from s2v.cli import main

if __name__ == "__main__":
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    sys.exit(main(["live", *sys.argv[1:]]))
