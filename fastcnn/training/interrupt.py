"""Ctrl-C that waits for the end of a batch."""

import signal
import threading


class Interrupt:
    """Ctrl-C that is noted: the first sets `came`, the next ones do what they did before.

    Only the main thread hears signals, and where Ctrl-C is ignored it stays so.
    """

    def __init__(self):
        self.came = False
        self._before = None

    def catch(self) -> None:
        """Begin to note it."""
        if self._before is not None:
            return
        self.came = False
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and before not in (signal.SIG_IGN, None):
            self._before = before
            signal.signal(signal.SIGINT, self._note)

    def release(self) -> None:
        """Put back what was there."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _note(self, number, frame) -> None:
        self.came = True
        self.release()
