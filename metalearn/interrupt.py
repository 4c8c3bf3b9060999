"""Ctrl-C between two steps of a loop, so that none is cut in half."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_between_steps() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that no step is cut in half; a second Ctrl-C stops at once.

    So does the signal to terminate, which torchrun and clusters send.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: object) -> None:
        asked.set()
        put_back()

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        put_back()
