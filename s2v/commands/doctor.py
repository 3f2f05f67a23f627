"""The command that looks at this machine: `s2v doctor`."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from s2v.commands.command import Command
from s2v.commands.options.access import add_ice_options, ice_servers_of
from s2v.errors import StreamError
from s2v.terminal import print_result

if TYPE_CHECKING:
    from s2v.doctor.finding import Finding

NAME_COLUMNS = 13
INDENT = " " * (6 + NAME_COLUMNS)
NARROWEST = 2 * len(INDENT)  # below it there is no column left to wrap in


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=_port, default=8080, metavar="N", help="the port `s2v live` would serve on (default %(default)s)"
    )
    add_ice_options(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")


def _run(args: argparse.Namespace) -> int:
    from s2v.doctor.machine import examine

    try:
        servers = ice_servers_of(args)
    except ImportError:  # of what calls need: the findings say what is missing, and what to do
        servers = ()
    report(examine(args.port, servers), args.json)
    return 0


def report(examined: Iterable[Finding], as_json: bool) -> None:
    """Print the findings as they come, or as one JSON object. Raises: StreamError, something failed."""
    findings = []
    for finding in examined:
        findings.append(finding)
        if not as_json:
            print_result(_as_text(finding))  # as it comes: some take a second
    failed = [finding.name for finding in findings if finding.state == "fail"]
    if as_json:
        print_result(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}))
    else:
        print_result(f"\n{_summary(findings)}")
    if failed:
        raise StreamError(
            f"{len(failed)} of {len(findings)} checks failed ({', '.join(failed)}): do what they say next"
        )


def _as_text(finding: Finding) -> str:
    width = max(min(shutil.get_terminal_size((120, 24)).columns, 120), NARROWEST)
    head = f"{finding.state:<6}{finding.name:<{NAME_COLUMNS}}"
    lines = textwrap.wrap(finding.found, width, initial_indent=head, subsequent_indent=INDENT, break_on_hyphens=False)
    if finding.next_step:
        next_indent = f"{INDENT}-> "
        lines += textwrap.wrap(finding.next_step, width, initial_indent=next_indent, subsequent_indent=f"{INDENT}   ")
    return "\n".join(lines)


def _summary(findings: Sequence[Finding]) -> str:
    count = {state: sum(finding.state == state for finding in findings) for state in ("ok", "warn", "fail")}
    verdict = "s2v live and s2v generate work here" if not count["fail"] else "something is missing"
    return f"{len(findings)} checks: {count['ok']} ok, {count['warn']} with advice, {count['fail']} failed; {verdict}"


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a whole number from 0 to 65535")
    return int(text)


COMMAND = Command("doctor", "say what this machine has, and what to do about what it lacks", _add_options, _run)
