"""Fetch a missing file from the first mirror that has it, checked by its sha256."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from depthbench.errors import DataError

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30
NUM_ROUNDS = 2
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """Name a file to fetch and the sha256 it must have."""

    name: str
    sha256: str


def fetch(file: RemoteFile, mirrors: Sequence[str], folder: Path) -> Path:
    """Download a file and return its path; a file with another checksum is never kept.

    All mirrors are tried, then all once more. A terminal shows a progress bar.

    Args:
        file: What to fetch.
        mirrors: Folders on the web that hold it, each ending in a slash.
        folder: Where to put it; made if it is not there.

    Raises:
        DataError: No mirror gave the file; says why, for each.
    """
    reasons: dict[str, str] = {}
    for url in [mirror + file.name for mirror in mirrors] * NUM_ROUNDS:
        try:
            return _fetch_once(url, file, folder)
        # An error of requests is an OSError; pooch raises ValueError for a wrong checksum.
        except (OSError, ValueError) as error:
            reasons[url] = _reason(error)
    tried = "".join(f"\n  {url} ({reason})" for url, reason in reasons.items())
    raise DataError(f"download of {file.name} into {folder} failed:{tried}")


def _fetch_once(url: str, file: RemoteFile, folder: Path) -> Path:
    import pooch
    from tqdm import tqdm

    is_terminal = sys.stderr.isatty()
    pooch.get_logger().setLevel(logging.WARNING if is_terminal else logging.INFO)
    # The total is replaced by what the server says; without one tqdm cannot be asked if it is true.
    with tqdm(
        total=1, desc=file.name, unit="B", unit_scale=True, file=sys.stderr, disable=not is_terminal
    ) as bar:
        downloader = pooch.HTTPDownloader(
            progressbar=bar if is_terminal else False,
            chunk_size=CHUNK_BYTES,
            timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
        )
        fetched = pooch.retrieve(
            url, f"sha256:{file.sha256}", file.name, path=folder, downloader=downloader
        )
    return Path(fetched)


def _reason(error: Exception) -> str:
    """Return the innermost cause, which is the one a reader understands, on one line."""
    cause: BaseException = error
    while (inner := _inner(cause)) is not None:
        cause = inner
    text = " ".join(str(cause).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _inner(error: BaseException) -> BaseException | None:
    """Return what requests and urllib3 wrapped, as the first argument or as the reason."""
    for inner in (*error.args[:1], getattr(error, "reason", None)):
        if isinstance(inner, BaseException):
            return inner
    return None
