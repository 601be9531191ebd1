"""Find the one file of a text set: by its path, or in the set's folder."""

from __future__ import annotations

from pathlib import Path

from depthbench.data.locate import listing, search_places, set_folders
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings

SUFFIXES = (".txt", ".parquet")
_NOT_DATA = ("readme", "license", "licence")


def find_text(name: str, settings: DatasetSettings, data_dir: Path | None, source: str) -> Path:
    """Return the file of a text set.

    `path` names it, or a folder that holds it; without one it lies in the set's folder, found as
    any data set's is. `file` chooses one where there are several.

    Args:
        name: The data set.
        settings: Which file.
        data_dir: What --data-dir says.
        source: Where to get the files, for people.

    Raises:
        DataError: There is no such file, or several and none is chosen.
    """
    if settings.path is not None:
        path = Path(settings.path).expanduser()
        return _chosen(path, _texts_below(path), settings.file) if path.is_dir() else path
    folder, found = find_texts(name, data_dir)
    if folder is not None:
        return _chosen(folder, found, settings.file)
    places = search_places(data_dir)
    raise DataError(
        f"{name}: no file of it is here; looked for a folder {name} in:{listing(places)}\n"
        f"put a file into a folder {name} of --data-dir or DEPTHBENCH_DATA; get it from {source}"
    )


def find_texts(name: str, data_dir: Path | None) -> tuple[Path | None, list[Path]]:
    """Return the first folder of a text set that holds any text, and its files; None without.

    Raises:
        DataError: A folder that the user named does not exist or cannot be read.
    """
    for place in search_places(data_dir):
        for folder in set_folders(place, name):
            if found := _texts_below(folder):
                return folder, found
    return None, []


def _texts_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not path.name.lower().startswith(_NOT_DATA)
    )


def _chosen(folder: Path, found: list[Path], file: str | None) -> Path:
    names = listing(path.relative_to(folder) for path in found)
    if not found:
        raise DataError(f"{folder}: holds no text; it takes a file {' or '.join(SUFFIXES)}")
    if file is None and len(found) > 1:
        raise DataError(f"{folder}: holds several texts; choose one with file:{names}")
    fitting = [path for path in found if file in (None, path.name, str(path.relative_to(folder)))]
    if len(fitting) != 1:
        problem = "holds no file" if not fitting else "holds more than one file"
        raise DataError(f"{folder}: {problem} {file!r}; its texts are:{names}")
    return fitting[0]
