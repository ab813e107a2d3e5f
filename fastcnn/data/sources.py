"""Where a data set's files are: in a folder that was named, in the cache, or on a mirror."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from fastcnn import _validate

from .errors import DownloadError

TIMEOUT = 10  # seconds to wait for a mirror to connect, and for each further piece of a file

Found = TypeVar("Found")


@dataclass(frozen=True)
class Source:
    """A data set's files and where they may be had.

    Parameters
    ----------
    title : str
        Its name, for people to read: "Fashion-MNIST".
    folder : str
        The subfolder that it may lie in, within a folder of several data sets: "fashion-mnist".
    sha256 : dict
        The files to download, with their SHA-256 sums. Each is known from two places that do not copy one another.
    mirrors : tuple of str
        Addresses that the files' names are put behind, in the order in which they are asked.
    """

    title: str
    folder: str
    sha256: dict[str, str]
    mirrors: tuple[str, ...]

    def find(self, root, download: bool, locate: Callable[[Path, str], Found]) -> Found:
        """What ``locate(folder, name of the folder)`` gives for the folder that is to be used.

        That is ``root``; without it, FASTCNN_DATA; without that, the cache, into which the files are downloaded if
        ``locate`` does not find them there, which it says by a FileNotFoundError.
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
        """The data set's folder in the user's cache, whether or not it exists."""
        try:
            import pooch
        except ImportError as error:
            raise DownloadError(
                f"pooch, which downloads {self.title}, is not installed",
                f'Install it with pip install "fastcnn[data]", or name a folder that holds {self.title} by `root` or '
                "FASTCNN_DATA.",
            ) from error
        return Path(pooch.os_cache("fastcnn")) / self.folder

    def _download(self, folder: Path) -> None:
        """Put the files that ``folder`` lacks into it, from the first mirror that has them; a file is whole or absent.

        After an interruption the files that are there stay, so that only the rest is downloaded.
        """
        import pooch

        failures = []
        log = pooch.get_logger()
        level = log.level
        log.setLevel("ERROR")  # at INFO, it prints a paragraph a file
        try:
            for mirror in self.mirrors:
                try:
                    for file, sha256 in self.sha256.items():
                        # labels are gone before a bar could be read
                        bar = "labels" not in file and sys.stderr is not None and sys.stderr.isatty()
                        downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)
                        pooch.retrieve(mirror + file, f"sha256:{sha256}", file, folder, downloader=downloader)
                    return
                except (OSError, ValueError) as error:
                    # pooch's one ValueError here is a wrong hash; what requests raises is an OSError
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
    """A folder that exists."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{name} is {folder}, but there is no such folder.")
    return folder
