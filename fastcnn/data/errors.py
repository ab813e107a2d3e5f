"""Errors of data files and downloads."""

from fastcnn._errors import FileError


class DataError(FileError):
    """A data file is invalid; the message names the file, the field, its value and what was needed."""


class DownloadError(OSError):
    """A data set is not on this machine and could not be downloaded; the attribute ``reason`` says why.

    Parameters
    ----------
    reason : str
        The reason, as a clause without a full stop.
    advice : str
        What to do about it, as a sentence.
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}. {advice}")
        self.reason = reason
