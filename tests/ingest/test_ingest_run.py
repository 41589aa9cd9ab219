"""A tree of good and broken clinical files: what is kept, what is named, what never goes out."""

import json
import os
import pickle
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from medq_engine import cli, tables
from medq_engine.config import load_params
from medq_engine.ingest.ledger import Ledger, LedgerError
from medq_engine.ingest.pseudonyms import keyed
from medq_engine.ingest.run import IngestError, Options, Summary, ingest
from medq_engine.ingest.views import Take, take_views
from medq_engine.simulation import from_png
from tests.ingest import clinical_files as made
from tests.miniature_scans import png_bytes

TAKE = Take(size=24, slices=3, tiles=6, level=0)


def options(root: Path, **changes: object) -> Options:
    """From root/tree into root/pool."""
    given = Options(
        folder=root / "tree",
        out=root / "pool",
        modality="mri",
        take=TAKE,
        shard_images=40,
        salt_file=root / "salt",
        processes=2,
    )
    return replace(given, **changes)


def pool(given: Options) -> pl.DataFrame:
    return tables.read(given.out, tables.RECORD)


def shards(given: Options) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(given.out.iterdir())}


def quarantined(given: Options) -> dict[str, str]:
    lines = given.quarantine.read_text(encoding="utf-8").splitlines()[1:]
    return {row["path"]: row["reason"] for row in map(json.loads, lines)}


def settled(given: Options) -> tuple[Summary, Options]:
    """Ingest with a salt that is always the same."""
    if not given.salt_file.exists():
        given.salt_file.write_bytes(bytes(range(32)))
    return ingest(given), given


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The tree of about 200 files, and an undisturbed run over it."""
    root = tmp_path_factory.mktemp("mixed")
    files, bad, again = made.mri_tree(root)
    made.plant(files, root / "tree")
    summary, given = settled(options(root))
    return files, bad, again, summary, given


@pytest.fixture
def small(tmp_path):
    """A tree of ten PNGs of two subjects."""
    files = {f"p{i % 2}/{i}.png": made.picture(made.body(i), "PNG") for i in range(10)}
    made.plant(files, tmp_path / "tree")
    return options(tmp_path, shard_images=8, processes=1)


def test_every_good_file_is_kept_and_every_bad_one_named(mixed):
    files, bad, again, summary, given = mixed
    assert 190 < len(files) < 230
    named = quarantined(given)
    assert named.keys() == bad.keys()
    for path, reason in bad.items():
        assert named[path].startswith(reason), path
    good = len(files) - len(bad) - len(again)
    expected = {"ingested": good, "duplicate": len(again), "quarantined": len(bad)}
    assert summary.files == expected
    assert summary.files.total() == len(files)
    # Three slices of each of 5 films, 5 + 1 NIfTI, 5 NRRD and one TIFF of pages; else one a file.
    assert summary.images == good + 2 * 17
    records = pool(given)
    assert len(records) == summary.images
    assert records["image_id"].n_unique() == len(records)
    assert set(records["modality"]) == {"mri"}
    assert set(records["origin"]) == {"clinical"}
    assert {from_png(image["bytes"]).size for image in records["image"]} == {(24, 24)}


def test_the_table_accounts_for_every_file_and_the_list_says_that_it_is_private(mixed):
    files, bad, *_, summary, given = mixed
    text = summary.text(given)
    assert f"files         {len(files):>8}" in text
    assert f"quarantined {len(bad):>8}" in text
    assert "burnt into the pixels" in text
    assert "never commit" in given.quarantine.read_text(encoding="utf-8").splitlines()[0]
    assert (given.state / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_no_identifier_is_in_shards_or_ledger(mixed):
    files, *_, given = mixed
    words = [word.encode() for word in made.PATIENT.values()]
    words += [b"GARIBALDI", b"garibaldi", b"rossi", b"bianchi", b"verdi", b"tree"]
    words += [Path(path).name.encode() for path in files]
    kept = [*shards(given).values(), (given.state / "ledger.sqlite").read_bytes()]
    # Parquet is compressed: what it holds is looked through as it is read.
    records = pool(given)
    kept += [image["bytes"] for image in records["image"]]
    kept.append(records.drop("image").write_csv().encode())
    kept += [image["path"].encode() for image in records["image"]]
    everything = b"\n".join(kept)
    assert [word for word in words if word in everything] == []
    assert {path.name for path in given.state.iterdir()} == {
        ".gitignore",
        "ledger.sqlite",
        "quarantine.jsonl",
    }


def test_shards_are_bounded_and_named_in_order(mixed):
    *_, summary, given = mixed
    assert summary.shards == [f"shard-{i:06d}.parquet" for i in range(len(summary.shards))]
    lengths = [len(pl.read_parquet(given.out / name)) for name in summary.shards]
    assert max(lengths) <= 40
    # No file of this tree gives more than three images, so no shard is left emptier.
    assert min(lengths[:-1]) > 40 - 3


def test_a_patient_is_one_subject_and_a_folder_is_one_subject(mixed):
    *_, given = mixed
    records = pool(given)
    # One patient in all DICOM files; of the rest, the folders rossi and bianchi.
    assert records["subject_id"].n_unique() == 3
    assert all(len(subject) == 16 for subject in records["subject_id"])


def test_a_second_run_writes_nothing(mixed):
    *_, summary, given = mixed
    before, named = shards(given), given.quarantine.read_bytes()
    again = ingest(given)
    assert shards(given) == before
    assert given.quarantine.read_bytes() == named
    assert (again.added, again.shards) == (0, [])
    assert (again.files, again.images) == (summary.files, summary.images)


@pytest.mark.parametrize("moment", ["before the shard", "before the ledger"])
def test_a_killed_run_goes_on_to_the_same_shards(mixed, tmp_path, moment):
    *_, summary, undisturbed = mixed
    # The same tree: its path and the files' times are part of the ledger's keys.
    given = replace(undisturbed, out=tmp_path / "pool")
    end = "write(*a)" if moment == "before the ledger" else "None"
    script = (
        "import os, pickle, sys\n"
        "from medq_engine import tables\n"
        "from medq_engine.ingest.run import ingest\n"
        "write, left = tables.write, [0, 0]\n"
        "def dying(*a):\n"
        f"    if not left:\n        {end}\n        os._exit(9)\n"
        "    left.pop()\n    write(*a)\n"
        "tables.write = dying\n"
        "ingest(pickle.load(sys.stdin.buffer))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(given))
    assert run.returncode == 9
    assert len(shards(given)) == 2 + (moment == "before the ledger")
    resumed = ingest(given)
    assert shards(given) == shards(undisturbed)
    assert resumed.files == summary.files
    # The two shards that were whole were not made again.
    assert resumed.shards == summary.shards[2:]
    assert given.quarantine.read_bytes() == undisturbed.quarantine.read_bytes()


def test_new_files_give_new_shards_only(small):
    settled(small)
    before = shards(small)
    made.plant({"a/new.png": made.picture(made.body(99), "PNG")}, small.folder)
    again = ingest(small)
    after = shards(small)
    assert {name: after[name] for name in before} == before
    assert again.added == 1
    assert after.keys() - before.keys() == set(again.shards)
    assert again.files == {"ingested": 11}


def test_what_lies_in_the_pool_already_is_not_taken_twice(small):
    settled(small)
    (record,) = pool(small).head(1).rows(named=True)
    other = replace(small, out=small.out.with_name("other"))
    foreign = tables.table([record], tables.RECORD)
    tables.write(foreign, other.out / "shard-000.parquet", tables.RECORD)
    summary, _ = settled(other)
    assert summary.files == {"ingested": 9, "duplicate": 1}
    assert summary.shards[0] == "shard-000001.parquet"
    assert pool(other)["image_id"].n_unique() == len(pool(other)) == 10


def test_another_salt_gives_other_subjects_and_is_refused_for_one_pool(small, tmp_path):
    settled(small)
    (tmp_path / "other-salt").write_bytes(bytes(32))
    other = replace(small, salt_file=tmp_path / "other-salt")
    with pytest.raises(LedgerError, match="another salt"):
        ingest(other)
    elsewhere = replace(other, out=tmp_path / "elsewhere")
    ingest(elsewhere)
    here, there = pool(small), pool(elsewhere)
    assert here["image_id"].to_list() == there["image_id"].to_list()
    assert here["subject_id"].n_unique() == there["subject_id"].n_unique() == 2
    assert not set(here["subject_id"]) & set(there["subject_id"])


def test_a_salt_is_made_once_for_its_owner_only(small, capsys):
    ingest(small)
    assert "a new salt. Keep it" in capsys.readouterr().out
    salt = small.salt_file.read_bytes()
    assert len(salt) == 32
    assert stat.S_IMODE(small.salt_file.stat().st_mode) == 0o600
    ingest(small)
    assert small.salt_file.read_bytes() == salt
    assert capsys.readouterr().out == ""


def test_each_file_may_be_a_subject_and_sources_do_not_share_folders(small, tmp_path):
    settled(replace(small, subject_from="file", source="hospital-b", licence="CC0-1.0"))
    records = pool(small)
    assert records["subject_id"].n_unique() == 10
    assert set(records["source"]) == {"hospital-b"}
    assert set(records["licence"]) == {"CC0-1.0"}
    other = replace(small, out=tmp_path / "other", source="hospital-c")
    settled(other)
    third = replace(small, out=tmp_path / "third", source="hospital-d")
    settled(third)
    assert not set(pool(other)["subject_id"]) & set(pool(third)["subject_id"])


def test_dicom_patients_of_two_issuers_are_two_subjects_and_headers_give_the_modality(tmp_path):
    eye = made.colour(1)
    files = {
        "a.dcm": made.mr(made.body(1)),
        "b.dcm": made.mr(made.body(2), IssuerOfPatientID="ELSEWHERE"),
        "c.dcm": made.rgb_dicom(eye, Modality="OP", PatientID=""),
        "d.dcm": made.mr(made.body(3), Modality="CT"),
        "e.dcm": made.mr(made.body(4), Modality="OT"),
        "f.png": made.picture(eye, "PNG"),
    }
    made.plant(files, tmp_path / "tree")
    summary, given = settled(options(tmp_path, modality=None))
    assert pool(given)["modality"].to_list() == ["mri", "mri", "fundus", "ct"]
    assert pool(given)["subject_id"].n_unique() == 3
    unknown = "the modality is not known: give --modality"
    assert quarantined(given) == {"e.dcm": unknown, "f.png": unknown}
    assert summary.files.total() == 6


def test_slides_give_tissue_tiles_and_cut_ones_are_named(tmp_path):
    files = {"s/a.svs": made.slide(1), "s/b.tif": made.slide(2, levels=1)}
    files["s/cut.svs"] = made.slide(3, broken=True)
    files["s/glass.png"] = png_bytes(np.full((200, 200, 3), 0.96) - 0.1 * np.eye(200)[..., None])
    made.plant(files, tmp_path / "tree")
    summary, given = settled(options(tmp_path, modality="histopathology"))
    assert summary.files == {"ingested": 2, "quarantined": 2}
    assert len(pool(given)) == 12
    assert quarantined(given)["s/glass.png"] == "no tissue"
    for image in pool(given)["image"]:
        assert np.asarray(from_png(image["bytes"]))[..., 1].mean() < 140


def test_links_and_closed_folders_are_named_and_not_followed(small, tmp_path):
    made.plant({"x.png": made.picture(made.body(77), "PNG")}, tmp_path / "outside")
    os.symlink(tmp_path / "outside", small.folder / "way-out")
    os.symlink(tmp_path / "nowhere", small.folder / "dangling.png")
    os.mkfifo(small.folder / "pipe.png")
    summary, _ = settled(small)
    assert quarantined(small) == {
        "way-out": "a link to a folder",
        "dangling.png": "the file cannot be read",
        "pipe.png": "not a regular file",
    }
    assert summary.files == {"ingested": 10, "quarantined": 3}


def test_a_file_that_crashes_its_decoder_is_named_and_the_run_goes_on(small, monkeypatch):
    def crashing(path: Path, *rest: object) -> object:
        return os._exit(11) if path.name == "4.png" else take_views(path, *rest)

    monkeypatch.setattr("medq_engine.ingest.run.take_views", crashing)
    summary, _ = settled(small)
    assert summary.files == {"ingested": 9, "quarantined": 1}
    assert quarantined(small) == {"p0/4.png": "the decoder crashed"}


def test_the_quarantined_are_tried_again_when_asked(small, monkeypatch):
    made.plant({"bad.png": b"x" * 100}, small.folder)
    assert settled(small)[0].files["quarantined"] == 1
    times = (small.folder / "bad.png").stat()
    # What changed is outside of the file: as when a decoder is installed.
    (small.folder / "bad.png").write_bytes(png_bytes(made.colour(5) / 255)[:100].ljust(100))
    os.utime(small.folder / "bad.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    monkeypatch.setattr("medq_engine.ingest.run.take_views", lambda *_: ("mri", "", [np.eye(24)]))
    assert ingest(small).files["quarantined"] == 1
    assert ingest(replace(small, retry=True)).files == {"ingested": 11}


def test_a_second_run_at_work_is_refused(small):
    settled(small)
    mark = keyed(small.salt_file.read_bytes(), "mark")
    with (
        closing(Ledger(small.state, small.out, mark)),
        pytest.raises(LedgerError, match="another ingestion"),
    ):
        ingest(small)
    assert ingest(small).added == 0


def test_a_shard_that_is_gone_is_not_passed_over(small):
    settled(small)
    (small.out / "shard-000000.parquet").unlink()
    with pytest.raises(LedgerError, match=r"shard-000000\.parquet, which is not in"):
        ingest(small)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"out": "tree/pool"}, "--out"),
        ({"salt_file": "tree/salt"}, "--salt-file"),
        ({"folder": "none"}, "not a folder"),
        ({"shard_images": 5}, "--shard-images"),
    ],
)
def test_options_that_do_not_fit_are_refused(small, tmp_path, changes, word):
    placed = {k: tmp_path / v if isinstance(v, str) else v for k, v in changes.items()}
    with pytest.raises(IngestError, match=word):
        ingest(replace(small, **placed))
    assert not (tmp_path / "tree" / "salt").exists()


def test_the_command_takes_the_size_from_params_and_fails_if_nothing_came(
    tmp_path, round_root, monkeypatch, capsys
):
    thrice = np.ones((3, 3), dtype=np.uint16)
    large = {f"{i}.png": made.picture(np.kron(made.body(i), thrice), "PNG") for i in range(3)}
    made.plant(large, tmp_path / "tree")
    monkeypatch.chdir(round_root)
    cli.main(["ingest", str(tmp_path / "tree"), "--modality", "mri", "--processes", "1"])
    assert "ingested           3" in capsys.readouterr().out
    size = load_params(Path("params.yaml")).images.size
    assert set(tables.read(Path("data/pool"), tables.RECORD)["width"]) == {size}
    with pytest.raises(SystemExit) as stop:
        cli.main(["ingest", str(tmp_path / "tree"), "--out", "elsewhere", "--processes", "1"])
    assert str(stop.value.code).startswith("medq ingest: nothing was ingested\n")


@pytest.mark.parametrize("words", [["--size", "0"], ["--modality", "xray"], ["--slices", "two"]])
def test_options_without_sense_are_refused_by_name(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["ingest", "tree", *words])
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err
