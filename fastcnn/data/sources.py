"""Finding the files of a data set: in a given folder, in the cache, or on a mirror."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from fastcnn import _validate
from fastcnn._text import in_full

from .errors import DownloadError

TIMEOUT = 10  # seconds to wait for a connection to a mirror, and for each further piece of a file

Found = TypeVar("Found")


@dataclass(frozen=True)
class Source:
    """The files of a data set and the places to get them from.

    Parameters
    ----------
    title : str
        Name for printing: "Fashion-MNIST".
    folder : str
        Its subfolder within a folder of several data sets: "fashion-mnist".
    sha256 : dict
        SHA-256 sums of the files to download, by file name. Two independent sources confirm each of them.
    mirrors : tuple of str
        URLs to which the file names are appended, in the order in which they are tried.
    """

    title: str
    folder: str
    sha256: dict[str, str]
    mirrors: tuple[str, ...]

    def find(self, root, download: bool, locate: Callable[[Path, str], Found]) -> Found:
        """Return ``locate(folder, name of the folder)`` for the folder to use.

        This is ``root``, else FASTCNN_DATA, else the cache. If ``locate`` raises a FileNotFoundError for the cache, the
        files are downloaded to it.
        """
        download = _validate.flag("download", download)
        if root is not None:
            return locate(_folder(root, "`root`"), "`root`")
        if folder := os.environ.get("FASTCNN_DATA"):
            return locate(_folder(folder, "FASTCNN_DATA"), "FASTCNN_DATA")
        cache = self._cache()
        try:
            return locate(_folder(cache, "The cache folder"), "The cache folder")
        except FileNotFoundError:
            if not download:
                raise
        self._download(cache)
        return locate(cache, "The cache folder")

    def _cache(self) -> Path:
        """Path of the data set's folder in the user's cache, whether or not it exists."""
        try:
            import pooch
        except ImportError as error:
            raise DownloadError(
                "pooch is not installed",
                f"Downloading {self.title} needs pooch: pip install pooch. Or name a folder that holds {self.title} by "
                "`root` or FASTCNN_DATA.",
            ) from error
        return Path(pooch.os_cache("fastcnn")) / self.folder

    def _download(self, folder: Path) -> None:
        """Download the files that ``folder`` lacks, from the first mirror that has them; no file is left incomplete.

        Files that exist are kept, so that after an interruption only the missing ones are downloaded.
        """
        import pooch

        failures = []
        log = pooch.get_logger()
        level = log.level
        log.setLevel("ERROR")  # at INFO, it prints a paragraph for each file
        try:
            for mirror in self.mirrors:
                try:
                    for file, sha256 in self.sha256.items():
                        # labels are downloaded too fast for a progress bar
                        bar = "labels" not in file and sys.stderr is not None and sys.stderr.isatty()
                        downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)
                        pooch.retrieve(mirror + file, f"sha256:{sha256}", file, folder, downloader=downloader)
                    return
                except (OSError, ValueError) as error:
                    # a ValueError from pooch means a wrong hash; requests raises OSErrors
                    what = f"the SHA-256 of {file} is wrong" if isinstance(error, ValueError) else type(error).__name__
                    failures.append(f"{urlsplit(mirror).netloc}: {what}")
                    cause = error
        finally:
            log.setLevel(level)
        missing = [file for file in self.sha256 if not (folder / file).is_file()]
        raise DownloadError(
            f"{self.title} could not be downloaded ({'; '.join(failures)})",
            f"Put {', '.join(missing)} into {folder}, or all of its files into a folder that you name by `root` or "
            "FASTCNN_DATA.",
        ) from cause


def _folder(path, name: str) -> Path:
    """Return a folder that exists, or raise."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{name} is {in_full(folder)}, but there is no such folder.")
    return folder
