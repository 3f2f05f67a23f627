"""An iterator that is run ahead on a thread of its own: a film is decoded while its last pictures are looked at."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Value = TypeVar("Value")
AHEAD = 4


@contextmanager
def prefetched(values: Iterator[Value], ahead: int = AHEAD) -> Iterator[Iterator[Value]]:
    """The same values, up to so many made before they are asked for. What making them raises is raised in their place.

    At the end of the block the iterator is closed by the thread that ran it.
    """
    made: queue.Queue[tuple[Value | None, BaseException | None, bool]] = queue.Queue(ahead)
    stop = threading.Event()

    def run() -> None:
        last: tuple[Value | None, BaseException | None, bool] = (None, None, True)
        try:
            for value in values:
                made.put((value, None, False))
                if stop.is_set():
                    break
            close = getattr(values, "close", None)
            if close is not None:
                close()
        except BaseException as error:  # handed to whoever iterates
            last = (None, error, True)
        made.put(last)

    def given() -> Iterator[Value]:
        while True:
            value, error, ended = made.get()
            if error is not None:
                raise error
            if ended:
                return
            yield value  # type: ignore[misc]  # set unless it has ended

    thread = threading.Thread(target=run, name="s2v-prefetch", daemon=True)
    thread.start()
    try:
        yield given()
    finally:
        stop.set()
        while thread.is_alive():  # it may wait to hand over one more
            try:
                made.get(timeout=0.05)
            except queue.Empty:
                continue
        thread.join()
