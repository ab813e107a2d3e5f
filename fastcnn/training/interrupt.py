"""Deferring Ctrl-C to the end of a batch."""

import signal
import threading


class Interrupt:
    """Handler of Ctrl-C: the first one sets `came`; after that the previous handler is back.

    Only the main thread can handle signals. If Ctrl-C was ignored before, it stays ignored.
    """

    def __init__(self):
        self.came = False
        self._before = None

    def catch(self) -> None:
        """Install the handler."""
        if self._before is not None:
            return
        self.came = False
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and before not in (signal.SIG_IGN, None):
            self._before = before
            signal.signal(signal.SIGINT, self._note)

    def release(self) -> None:
        """Restore the previous handler."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _note(self, number, frame) -> None:
        self.came = True
        self.release()
