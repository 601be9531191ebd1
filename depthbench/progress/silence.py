"""Keep standard error free of what libraries tell."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path


@contextmanager
def silence() -> Iterator[None]:
    """Keep standard error free of what libraries tell while inside: downloads, warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # loggers made before hold the true standard error
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(before)
