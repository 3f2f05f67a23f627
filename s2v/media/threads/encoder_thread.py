"""Encodes on a second thread what the first has drawn."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

QUEUE_FRAMES = 8  # drawn and not yet encoded; when full, drawing waits


class EncoderThread:
    """Runs the writer's calls on a second thread, in order; its failure is raised to the caller."""

    def __init__(self) -> None:
        self._calls: queue.Queue[tuple[Callable[[Any], None], Any] | None] = queue.Queue(QUEUE_FRAMES)
        self._failure: BaseException | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="s2v-encoder")

    def put(self, write: Callable[[Any], None], data: NDArray[Any]) -> None:
        """Queue one call; waits while the queue is full. Raises: what an earlier call raised."""
        if self._failure is not None:
            raise self._failure
        self._calls.put((write, data))

    def __enter__(self) -> EncoderThread:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._given_up = kind is not None
        try:
            self._calls.put(None)
            self._thread.join()
        except BaseException:  # Ctrl-C while the last frames are encoded: nobody else may touch the writer yet
            self._given_up = True
            self._calls.put(None)
            self._thread.join()
            raise
        if self._failure is not None and kind is None:
            raise self._failure

    def _run(self) -> None:
        """Until None comes. After a failure it only empties the queue, so that `put` never hangs."""
        while (call := self._calls.get()) is not None:
            if self._failure is None and not self._given_up:
                write, data = call
                try:
                    write(data)
                except BaseException as failure:  # handed to the drawing thread
                    self._failure = failure
