"""How busy the machine is while callers are served: how late the event loop comes, and how many cores are idle."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

LOOK_EVERY_S = 0.25
LOOKS_FOR_CORES = 8  # two seconds: the kernel counts in hundredths
MEMORY = 0.95  # of the running mean, a look: five seconds, for one hiccup is no reason to refuse anybody
IDLE_FIELDS = (3, 4)  # idle, iowait; see proc(5). Not nice: priorities hold within one group of processes only


class IdleCores:
    """The cores that this process may use and that nobody used from one look to the next."""

    def __init__(self, root: Path = Path("/"), now: Callable[[], float] = time.monotonic) -> None:
        self.bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._stat = root / "proc/stat"
        self._now = now
        self._before = self._read()

    def look(self) -> float | None:
        """How many since the look before; None: nobody tells."""
        before, self._before = self._before, self._read()
        if before is None or self._before is None or self._before[1] <= before[1] or self._before[0] < before[0]:
            return None
        return min((self._before[0] - before[0]) / (self._before[1] - before[1]), float(self.bound))

    def _read(self) -> tuple[float, float] | None:
        """Seconds that these cores were idle, and the moment."""
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        ticks = 0
        try:
            for line in self._stat.read_text(encoding="ascii").splitlines():
                name, *fields = line.split()
                if name[:3] == "cpu" and name[3:].isdecimal() and (allowed is None or int(name[3:]) in allowed):
                    ticks += sum(int(fields[field]) for field in IDLE_FIELDS)
            hertz = os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError, AttributeError):  # not Linux, or a container that hides it
            return None
        return (ticks / hertz, self._now()) if ticks else None  # a sandbox may count nothing


class MachineLoad:
    """Looks at the machine from the event loop that serves. Until it has looked, it seems idle."""

    def __init__(
        self,
        idle: IdleCores | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.loop_lag_s = 0.0  # running mean: how much later than it should the loop comes to what is due
        self.idle_cores: float | None = None  # None: not known
        self._idle = idle or IdleCores()
        self._now = now
        self._sleep = sleep

    async def watch(self, on_look: Callable[[], None] = lambda: None) -> None:
        """Look for ever; `on_look` is called about every two seconds."""
        looks = 0
        while True:
            due_s = self._now() + LOOK_EVERY_S
            await self._sleep(LOOK_EVERY_S)
            self.loop_lag_s += (1 - MEMORY) * (max(self._now() - due_s, 0.0) - self.loop_lag_s)
            looks += 1
            if looks % LOOKS_FOR_CORES == 0:
                self.idle_cores = self._idle.look()
                on_look()
