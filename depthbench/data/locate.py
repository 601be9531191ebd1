"""Where data sets lie: --data-dir, DEPTHBENCH_DATA, the user cache, places of the system."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from depthbench.errors import DataError

ENVIRONMENT_VARIABLE = "DEPTHBENCH_DATA"
# Debian's dataset-* packages.
SYSTEM_ROOTS = (Path("/usr/share/datasets"),)


@dataclass(frozen=True, slots=True)
class Place:
    """Name a folder that may hold data sets; `is_chosen` says that the user named it."""

    root: Path
    origin: str
    is_chosen: bool

    def __str__(self) -> str:
        return f"{self.origin}: {self.root}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Say which files of a data set were found, and where was looked; paths by file name.

    All files are of one `folder` of one `place`; both are None where there is none. `missing` names
    the files that are not there.
    """

    folder: Path | None
    place: Place | None
    paths: dict[str, Path]
    missing: tuple[str, ...]
    places: tuple[Place, ...]


def cache_root() -> Path:
    """Return the folder that downloaded data sets are kept in."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("depthbench"))


def search_places(data_dir: Path | None) -> tuple[Place, ...]:
    """Return the folders that may hold data sets, the first one first.

    Raises:
        DataError: A folder that the user named does not exist.
    """
    chosen = [Place(data_dir.expanduser(), "--data-dir", True)] if data_dir else []
    if os.environ.get(ENVIRONMENT_VARIABLE):
        root = Path(os.environ[ENVIRONMENT_VARIABLE]).expanduser()
        chosen.append(Place(root, ENVIRONMENT_VARIABLE, True))
    for place in chosen:
        check_folder(place.root, place.origin)
    systems = (Place(root, "system", False) for root in SYSTEM_ROOTS)
    return (*chosen, Place(cache_root(), "user cache", False), *systems)


def check_folder(root: Path, origin: str) -> None:
    """Raise DataError where a folder that the user named is not there."""
    if not root.is_dir():
        found = "is not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"{origin} names {root}, which {found}; "
            "give a folder that holds one folder a data set, such as mnist"
        )


def find(name: str, file_names: tuple[str, ...], data_dir: Path | None) -> Finding:
    """Return the files of a data set from the first place that has them all.

    Args:
        name: The data set; its folder may be written with hyphens, underscores or neither.
        file_names: Names of its files, without ".gz".
        data_dir: What --data-dir says.

    Raises:
        DataError: A folder that the user named does not exist or cannot be read.
    """
    return find_any((name,), (file_names,), data_dir)


def find_any(
    folder_names: tuple[str, ...], forms: tuple[tuple[str, ...], ...], data_dir: Path | None
) -> Finding:
    """Return the files of a data set that comes in several forms, from the first place with one.

    A folder with only some of the files ends the search where the user named its place, since
    another copy must never silently stand in for it.

    Args:
        folder_names: Names of its folder, each with hyphens, underscores or neither.
        forms: For each form the names of its files, without ".gz"; an earlier one is preferred.
        data_dir: What --data-dir says.

    Raises:
        DataError: A folder that the user named does not exist or cannot be read.
    """
    places = search_places(data_dir)
    partial = None
    for place in places:
        for folder in _folders(place, folder_names):
            finding = _best_form(folder, place, forms, places)
            if not finding.missing or (finding.paths and place.is_chosen):
                return finding
            if finding.paths and partial is None:
                partial = finding
    return partial or Finding(None, None, {}, forms[0], places)


def _best_form(
    folder: Path, place: Place, forms: tuple[tuple[str, ...], ...], places: tuple[Place, ...]
) -> Finding:
    """Return the first form that is whole, else the one of which most is there."""
    best = None
    for form in forms:
        paths = _files_below(folder, form)
        missing = tuple(file for file in form if file not in paths)
        finding = Finding(folder, place, paths, missing, places)
        if not missing:
            return finding
        if best is None or len(paths) > len(best.paths):
            best = finding
    assert best is not None
    return best


def set_folders(place: Place, name: str) -> Iterator[Path]:
    """Yield the folders of a place that are named as a data set is.

    Raises:
        DataError: A folder that the user named cannot be read.
    """
    return _folders(place, (name,))


def _folders(place: Place, names: tuple[str, ...]) -> Iterator[Path]:
    wanted = {_plain(name) for name in names}
    try:
        children = sorted(place.root.iterdir())
    except OSError as error:
        if place.is_chosen:
            raise DataError(f"{place}: cannot be read ({error.strerror})") from error
        return
    for child in children:
        if _plain(child.name) in wanted and child.is_dir():
            yield child


def _files_below(folder: Path, file_names: tuple[str, ...]) -> dict[str, Path]:
    """Return the copy of each file that is nearest to the folder; unpacked before gzipped."""
    wanted = {_plain_file(name): name for name in file_names}
    found = [path for path in _walk(folder) if _plain_file(path.name) in wanted]
    found.sort(key=lambda path: (len(path.parts), path.suffix == ".gz", str(path)), reverse=True)
    return {wanted[_plain_file(path.name)]: path for path in found}


def _walk(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _plain_file(name: str) -> str:
    """Return the name by which copies are recognised: some write .idx3 for -idx3."""
    return _plain(name.lower().removesuffix(".gz").replace(".", "-"))


def listing(items: Iterable[object]) -> str:
    """Return one indented line for each item."""
    return "".join(f"\n  {item}" for item in items)
