"""A closed round is what its commit holds."""

import pytest

from medq_engine.closed import ClosedError, closed_tags, fetch_reports, read, read_all
from tests.closed_repository import Repository
from tests.made_rounds import BASELINES, SPLITS, made


@pytest.fixture
def repository(tmp_path) -> Repository:
    return Repository(tmp_path)


def test_a_round_is_read_from_its_commit_and_not_from_the_workspace(repository):
    repository.close("pass")
    repository.close("fail")
    for name in ("params.yaml", "metrics/gate.json", "dvc.lock", "data/baselines/table.json"):
        (repository.root / name).write_text("broken")
    one, two = read_all(repository.root)
    assert (one.tag, one.number, one.passed) == ("round-001", 1, True)
    assert (two.tag, two.number, two.passed) == ("round-002", 2, False)
    assert [one.date, two.date] == ["2026-03-01", "2026-03-02"]
    assert one.commit != two.commit
    assert one.commit.startswith(one.short)
    assert one.params["tag"] == "round-001"
    assert [one.labels["total"], two.labels["total"]] == [40, 80]
    assert one.data["data/benchmark/test"] == {"md5": SPLITS["test"], "size": 9, "nfiles": 2}
    assert one.hashes["data/benchmark/test"] == SPLITS["test"]
    row = {"model": "GPT-4o", "yes_no": 78.0, "overall": 64.79}
    assert one.published_rows == [row | {"benchmark": "another benchmark", "here": False}]
    assert one.difference["value"] == pytest.approx(0.01)


def test_what_need_not_be_measured_is_empty(repository):
    repository.close()
    (repository.root / "metrics" / "baselines.json").unlink()
    (repository.root / "data" / "baselines" / "table.json").unlink()
    repository.git("commit", "--quiet", "--all", "-m", "alone")
    repository.git("tag", "round-002")
    one, two = read_all(repository.root)
    assert (one.baselines, one.card) == (BASELINES, "")
    assert (two.baselines, two.published_rows) == ({}, [])


def test_what_dvc_tracks_without_an_md5_has_no_hash():
    (one,) = made("pass")
    one.data["https://example.org/x"] = {"size": 9}
    assert one.hashes.keys() == one.data.keys() - {"https://example.org/x"}


def test_tags_stand_in_the_order_of_numbers_and_other_tags_are_left_alone(repository):
    repository.close()
    for tag in ("round-1000", "round-002", "release-1"):
        repository.git("tag", tag)
    assert closed_tags(repository.root) == ["round-001", "round-002", "round-1000"]


def test_the_benchmark_is_told_by_who_made_it_and_by_its_hash(repository):
    repository.close()
    repository.yaml("data/dvc.lock", {"schema": "2.0", "stages": {}})
    repository.close()
    one, two = (read(repository.root, tag) for tag in ("round-001", "round-002"))
    assert one.benchmark == "embedded benchmark, test 22222222"
    assert two.benchmark == "own benchmark, test 22222222"


@pytest.mark.parametrize(
    ("annotator", "simulated"),
    [("expert (simulated)", ["expert (simulated)"]), ("Dr Simulated", [])],
)
def test_a_simulated_annotator_is_known_by_its_mark(tmp_path, annotator, simulated):
    repository = Repository(tmp_path, annotator)
    repository.close()
    assert read(tmp_path, "round-001").simulated == simulated


def test_a_tag_without_a_closed_round_is_refused_with_what_is_missing(repository):
    repository.close()
    (repository.root / "metrics" / "gate.json").unlink()
    repository.git("commit", "--quiet", "--all", "-m", "no gate")
    repository.git("tag", "round-002")
    with pytest.raises(ClosedError, match=r"round-002 .* no metrics/gate\.json.*git tag -d round-"):
        read(repository.root, "round-002")


def test_reports_come_out_of_the_cache_and_what_it_lacks_is_named(repository, tmp_path_factory):
    repository.close()
    repository.close()
    one = read(repository.root, "round-001")
    repository.cache(b"forest of round-001").unlink()
    repository.cache(b"confusion of round-002").unlink()
    folder = tmp_path_factory.mktemp("reports")
    assert fetch_reports(one, folder) == ["reports/figures/forest.png"]
    assert {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()} == {
        "round-001.html": "report of round-001",
        "ct.png": "confusion of round-001",
    }
    two, folder = read(repository.root, "round-002"), tmp_path_factory.mktemp("reports")
    assert fetch_reports(two, folder) == ["reports/figures/confusion"]
    assert not (folder / "figures" / "confusion").exists()


def test_the_model_card_is_read_where_there_is_one(repository):
    repository.close()
    repository.write("models/cards/round-002.md", "# A card\n")
    repository.close()
    cards = [read(repository.root, tag).card for tag in ("round-001", "round-002")]
    assert cards == ["", "# A card"]
