"""Deferring Ctrl-C and SIGTERM to the end of a batch."""

import signal
import threading


class Interrupt:
    """Handler of Ctrl-C and of SIGTERM, which schedulers and containers send before they kill a process.

    The first signal sets `came`; after that the previous handlers are back. Only the main thread can handle signals.
    Ctrl-C stays ignored if it was ignored before, and a program's own handling of SIGTERM stays in place.
    """

    def __init__(self):
        self.came = False
        self._before = {}

    def catch(self) -> None:
        """Install the handler."""
        if self._before:
            return
        self.came = False
        if threading.current_thread() is not threading.main_thread():
            return
        ctrl_c, terminate = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        if ctrl_c not in (signal.SIG_IGN, None):
            self._before[signal.SIGINT] = ctrl_c
        if terminate is signal.SIG_DFL:
            self._before[signal.SIGTERM] = terminate
        for number in self._before:
            signal.signal(number, self._note)

    def release(self) -> None:
        """Restore the previous handlers."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number, frame) -> None:
        self.came = True
        self.release()
