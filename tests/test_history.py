import pytest

from medq_engine.history import champion, closed_rounds, locked, markdown, simulated
from medq_engine.rounds import RoundError, git
from tests.made_rounds import commit, made


def close(root, tag: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "-q", "--allow-empty", "-m", tag)
    git(root, "tag", tag)


@pytest.fixture
def closed(git_root, write_metrics):
    """Two closed rounds, and metrics of a third that is not closed."""
    write_metrics(git_root, "pass")
    close(git_root, "round-001")
    write_metrics(git_root, "inconclusive", round=30, by_route={"model": 30})
    close(git_root, "round-002")
    write_metrics(git_root, "fail")
    return git_root


def test_a_row_is_read_from_the_rounds_commit_and_not_from_the_folder(closed):
    first, second = closed_rounds(closed)
    assert [first.tag, second.tag] == ["round-001", "round-002"]
    assert [first.gate["verdict"], second.gate["verdict"]] == ["pass", "inconclusive"]
    assert git(closed, "rev-parse", "round-001").startswith(first.commit)
    assert first.date == "2026-03-22"
    assert second.labels["round"] == 30


def test_the_table_has_a_row_a_round(closed):
    rows = closed_rounds(closed)
    head, rule, first, second = markdown(rows).splitlines()
    assert {line.count("|") for line in (head, rule, first, second)} == {11}
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "round-001",
        f"{rows[0].commit}, 2026-03-22",
        "40 (12)",
        "9",
        "+5.0 (+1.0 to +9.0)",
        "pass",
        "55.0%",
        "65.0%",
        "+10.0 (+6.0 to +14.0)",
        "+5.0 (+1.0 to +9.0)",
    ]
    assert second.split("|")[-2].strip() == "-"  # all phantoms
    # A round in which no expert was asked.
    assert [cell.strip() for cell in second.split("|")[3:7]] == [
        "30 (0)",
        "9",
        "+5.0 (+1.0 to +9.0)",
        "inconclusive",
    ]


def test_other_tags_are_no_rounds(closed):
    git(closed, "tag", "v1.0")
    git(closed, "tag", "round-draft")
    assert [row.tag for row in closed_rounds(closed)] == ["round-001", "round-002"]


def test_rounds_come_in_the_order_of_their_numbers(git_root, write_metrics):
    write_metrics(git_root)
    for number in (10, 2, 100):
        close(git_root, f"round-{number:03d}")
    assert [row.tag for row in closed_rounds(git_root)] == ["round-002", "round-010", "round-100"]


def test_without_a_closed_round_the_table_is_its_head(git_root):
    assert closed_rounds(git_root) == []
    assert len(markdown([]).splitlines()) == 2


def test_a_tag_without_metrics_is_an_error_that_names_it(git_root):
    close(git_root, "round-001")
    with pytest.raises(RoundError, match=r"round-001:metrics/gate\.json"):
        closed_rounds(git_root)


def test_a_row_has_params_hashes_and_who_else_answered(git_root):
    (row,) = made("pass")
    commit(git_root, row)
    (read,) = closed_rounds(git_root)
    assert read.gate == row.gate
    assert read.labels == row.labels
    assert read.baselines == row.baselines
    assert read.published == row.published
    assert read.params == row.params
    assert read.hashes == {"data/pool": "a" * 32}


def test_what_a_commit_need_not_have_is_empty(closed):
    first = closed_rounds(closed)[0]
    assert (first.baselines, first.published, first.params, first.hashes) == ({}, [], {}, {})


def test_hashes_are_of_what_stages_read_and_wrote():
    lock = """\
schema: '2.0'
stages:
  one:
    cmd: x
    deps: [{path: in, md5: aa}, {path: remote, etag: e}]
    outs: [{path: out, md5: bb.dir}]
  two:
    cmd: y
"""
    assert locked(lock) == {"in": "aa", "out": "bb.dir"}


def test_the_champion_is_the_last_challenger_that_passed():
    rows = made("pass", "pass", "fail")
    assert champion(rows) is rows[1]
    assert champion(made("fail", "inconclusive")) is None
    assert champion([]) is None


def test_simulated_readers_say_so_in_their_names():
    assert simulated(made("pass")) == ["expert (simulated)"]
    assert simulated(made("pass", people=("dr-a", "dr-b"))) == []
