"""Fetch a missing file from the first mirror that has it, checked by its sha256."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from depthbench.errors import DataError

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 30
NUM_ROUNDS = 2
# A name server that says no does so at once; one that cannot be reached takes its time to fail.
SLOW_NAME_SECONDS = 2
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """Name a file to fetch and the sha256 it must have."""

    name: str
    sha256: str


def fetch(
    file: RemoteFile,
    mirrors: Sequence[str],
    folder: Path,
    download: Callable[[str, RemoteFile, Path], Path] | None = None,
) -> Path:
    """Download a file and return its path; a file with another checksum is never kept.

    All mirrors are tried, then all once more, unless none of them could be reached: without a
    network, trying again is only waiting. A terminal shows a progress bar.

    Args:
        file: What to fetch.
        mirrors: Folders on the web that hold it, each ending in a slash.
        folder: Where to put it; made if it is not there.
        download: Fetches one address into a folder, or raises OSError or ValueError.

    Raises:
        DataError: No mirror gave the file; says why, for each.
    """
    download = download or _fetch_once
    reasons: dict[str, str] = {}
    for _ in range(NUM_ROUNDS):
        is_reached = False
        for url in (mirror + file.name for mirror in mirrors):
            started = time.perf_counter()
            try:
                return download(url, file, folder)
            # An error of requests is an OSError; pooch raises ValueError for a wrong checksum.
            except (OSError, ValueError) as error:
                reasons[url] = _reason(error)
                is_reached |= not _is_unreachable(error)
                is_slow = time.perf_counter() - started > SLOW_NAME_SECONDS
            if is_slow and not is_reached and "resolve" in reasons[url]:
                break
        if not is_reached:
            break
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
    cause = list(_causes(error))[-1]
    text = " ".join(str(cause).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _is_unreachable(error: Exception) -> bool:
    """Say whether no connection came about: no such name, no route, refused, no answer."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return any(isinstance(e, (ConnectTimeoutError, NewConnectionError)) for e in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it wraps, the innermost last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = _inner(cause)


def _inner(error: BaseException) -> BaseException | None:
    """Return what requests and urllib3 wrapped, as the first argument or as the reason."""
    for inner in (*error.args[:1], getattr(error, "reason", None)):
        if isinstance(inner, BaseException):
            return inner
    return None
