"""Stop a run as Ctrl-C does when the system asks for it; a second Ctrl-C ends the program."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Handler = Callable[[int, Any], Any] | int | None
# What a shell shows of a program that Ctrl-C has ended.
INTERRUPTED = 130


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM while inside, and restore the former handler after.

    Only a program's main thread may set handlers; in any other nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGTERM)
    if former is None:  # set by other code than Python's: it could not be restored
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def end_at_another_interrupt() -> dict[int, Handler]:
    """End the program at once at the next SIGINT or SIGTERM; return the former handlers.

    To be called where the program is about to end by itself: else a second Ctrl-C would show as a
    traceback out of what is done on the way out.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = (signal.SIGINT, signal.SIGTERM)
    return {number: signal.signal(number, lambda *_: os._exit(INTERRUPTED)) for number in numbers}


@contextmanager
def ended_by_another_interrupt() -> Iterator[None]:
    """End the program at once at SIGINT or SIGTERM while inside, and as before after."""
    former = end_at_another_interrupt()
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
