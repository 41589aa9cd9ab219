"""A folder tree of any size, file by file in an order that is always the same."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path


def walk(folder: Path, inside: str = "") -> Iterator[str]:
    """Paths relative to `folder` of all that is no folder, sorted by name, folder by folder.

    In memory are the names in one folder and those above it. Links to folders are not followed but
    yielded, and so are folders that cannot be read.
    """
    folders = set()
    names = []
    try:
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                names.append(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
    except OSError:
        yield inside or "."
        return
    for name in sorted(names):
        relative = f"{inside}/{name}" if inside else name
        if name in folders:
            yield from walk(folder, relative)
        else:
            yield relative


def version(path: Path) -> tuple[str, str]:
    """Size and time of change (ns) of a regular file, as texts.

    Raises:
        OSError: It is none, or nobody may look at it; the text says so without a name.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise OSError("the file cannot be read") from error
    if stat.S_ISDIR(about.st_mode):
        raise OSError("a link to a folder" if path.is_symlink() else "the folder cannot be read")
    if not stat.S_ISREG(about.st_mode):
        raise OSError("not a regular file")
    return str(about.st_size), str(about.st_mtime_ns)
