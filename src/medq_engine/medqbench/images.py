"""The images of MedQ-Bench's rows: base64, a path, or a reference to the row that holds the image.

Every picture of a split is held once, under its content id. References are followed when all rows
of their file are read, for they may point forward, and through one another.
"""

import ast
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from medq_engine import dedup
from medq_engine.medqbench.files import LONGEST_REFERENCE, open_image, unguard
from medq_engine.simulation import content_id


class RowError(Exception):
    """Why a row is left out."""


@dataclass(frozen=True)
class Picture:
    """An image as it goes into the tables; `suffix` is that of its format."""

    data: bytes
    width: int
    height: int
    suffix: str
    phash: str


class Pictures(dict[str, Picture]):
    """The pictures of a split by content id."""

    def keep(self, data: bytes) -> str:
        """The content id of an image file, whose picture is then held.

        Raises:
            RowError: The bytes are not an image.
        """
        image_id = content_id(data)
        if image_id not in self:
            try:
                picture = open_image(data)
            except ValueError as error:
                raise RowError(str(error)) from error
            bits = dedup.perceptual_hashes([picture.convert("RGB")])
            suffix = picture.format.lower()
            self[image_id] = Picture(data, *picture.size, suffix, dedup.to_hex(bits)[0])
        return image_id

    def keep_base64(self, text: str) -> str:
        """As `keep`, of an image file in standard base64; white space in it is passed over.

        Raises:
            RowError: The text is not base64, or not of an image.
        """
        try:
            return self.keep(base64.b64decode("".join(text.split()), validate=True))
        except ValueError as error:
            raise RowError(f"not base64: {error}") from error


@dataclass(frozen=True)
class Reference:
    """The image of another row, by its index."""

    index: str


class Cells:
    """The image columns of one file: what each holds by index, and where references lead.

    Args:
        folder: Paths are relative to it.
        columns: The task's image columns.
        pictures: Where images are kept.
    """

    def __init__(self, folder: Path, columns: Sequence[str], pictures: Pictures) -> None:
        self._folder = folder
        self._columns = columns
        self._pictures = pictures
        self._cells: dict[tuple[str, str], str | Reference | RowError] = {}

    def add(self, index: str, fields: dict[str, str]) -> None:
        """Take a row's images out of its fields; what is wrong with them is told by `resolve`."""
        paths = fields.pop("image_path", "").strip()
        for position, column in enumerate(self._columns):
            cell = unguard(fields.pop(column, "").strip())
            try:
                self._cells[column, index] = (
                    self._read_cell(cell) if cell else self._read_path(paths, position)
                )
            except RowError as error:
                self._cells[column, index] = error

    def resolve(self, index: str) -> list[str]:
        """The content ids of a row's images.

        Raises:
            RowError: An image is missing or broken, or its references lead nowhere.
        """
        return [self._follow(column, index) for column in self._columns]

    def _follow(self, column: str, index: str) -> str:
        passed = [index]
        while True:
            cell = self._cells[column, passed[-1]]
            if isinstance(cell, str):
                return cell
            if isinstance(cell, RowError):
                raise cell if passed == [index] else RowError(f"{column} refers to: {cell}")
            if (column, cell.index) not in self._cells:
                raise RowError(f"{column} refers to index {cell.index!r}, which is not there")
            if cell.index in passed:
                cycle = ", ".join(map(repr, passed))
                raise RowError(f"{column} refers to itself by way of {cycle}")
            passed.append(cell.index)

    def _read_cell(self, cell: str) -> str | Reference:
        if len(cell) <= LONGEST_REFERENCE:
            return Reference(cell)
        return self._pictures.keep_base64(cell)

    def _read_path(self, field: str, position: int) -> str:
        paths = paths_in(field)
        if len(paths) != len(self._columns):
            raise RowError(f"{len(paths)} images, not {len(self._columns)}")
        path = PurePath(paths[position])
        # By name only: a download of a hub's is a folder of symbolic links into its cache.
        if path.is_absolute() or ".." in path.parts:
            raise RowError(f"image_path {str(path)!r} leads out of the folder")
        try:
            return self._pictures.keep((self._folder / path).read_bytes())
        except (OSError, ValueError) as error:
            raise RowError(f"image_path {str(path)!r} cannot be read") from error


def paths_in(field: str) -> list[str]:
    """The paths of an `image_path`: one, or a list as Python or JSON writes it.

    Raises:
        RowError: The list is malformed.
    """
    if not field.startswith("["):
        return [path for path in [unguard(field)] if path]
    try:
        paths = ast.literal_eval(field)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise RowError("image_path is not a list of paths") from error
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise RowError("image_path is not a list of paths")
    return paths
