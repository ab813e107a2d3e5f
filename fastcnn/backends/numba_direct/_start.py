"""What must happen before Numba is imported, and so stands first in this package."""

import fastcnn._threads

fastcnn._threads.before_numba()
