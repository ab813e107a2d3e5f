"""What goes wrong with data."""

from fastcnn._errors import FileError


class DataError(FileError):
    """A data file is not what it must be; the sentence names the file, the field, its value and what was needed."""


class DownloadError(OSError):
    """A data set is not on this machine and could not be downloaded; ``reason`` says why in a few words.

    Parameters
    ----------
    reason : str
        Why, as a clause without a full stop.
    advice : str
        What to do about it, as a sentence.
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}. {advice}")
        self.reason = reason
