"""Annotators work on branches of a real git repository, with the project's .gitattributes."""

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from medq_engine.annotations import (
    AnnotationError,
    Reading,
    lean,
    merge,
    read_readings,
    reading,
    store,
)
from medq_engine.labelling import quality
from medq_engine.readings import Waiting, by_task, complete, disagree, tasks_for, waiting
from medq_engine.rounds import git
from medq_engine.tables import TASK, canonical, table

ATTRIBUTES = Path(__file__).parents[1] / ".gitattributes"
ONE, OTHER = "Ärztin <1>", "reader-2"
Row = dict[str, object]


class Repository:
    """A clone of the project in which a batch of twelve tasks is answered on branches."""

    def __init__(self, root: Path, tasks: Sequence[Row]) -> None:
        self.root, self.tasks = root, tasks
        self.path = root / "data" / "annotations" / "round-001.jsonl"
        (root / ".gitattributes").write_bytes(ATTRIBUTES.read_bytes())
        self.commit("Start")

    def commit(self, message: str) -> None:
        git(self.root, "add", "--all")
        git(self.root, "commit", "-q", "-m", message)

    def readings(self) -> list[Reading]:
        return read_readings(self.path, self.tasks, "batch")

    def reading(self, number: int, annotator: str, answer: str = "Yes", **said: object) -> Reading:
        return reading(self.tasks[number], annotator, "batch", answer, seconds=30.0, **said)

    def answer(self, branch: str, new: Sequence[Reading]) -> None:
        """Answer on a branch that starts from main, as the page does, and commit."""
        git(self.root, "checkout", "-q", "-B", branch, "main")
        self.answer_more(new)

    def answer_more(self, new: Sequence[Reading]) -> None:
        store(self.path, merge(self.readings(), new))
        self.commit("Answers")

    def merge(self, *branches: str) -> None:
        """Merge branches into main, one after the other; git must be content with each."""
        git(self.root, "checkout", "-q", "main")
        for branch in branches:
            git(self.root, "merge", "-q", "--no-edit", branch)
        assert git(self.root, "status", "--porcelain") == ""
        assert "<<<<" not in self.path.read_text(encoding="utf-8")


@pytest.fixture
def repository(git_root, task_row) -> Repository:
    return Repository(git_root, [task_row(f"t{number:02d}") for number in range(12)])


@pytest.fixture(params=["no file yet", "a file with answers", "an empty file"])
def started(request, repository) -> Repository:
    """A repository whose main branch has answers to the first two tasks and the sixth, or none."""
    if request.param == "a file with answers":
        repository.answer_more([repository.reading(number, ONE) for number in (0, 1, 5)])
    elif request.param == "an empty file":
        repository.answer_more([])
    return repository


def ordered(rows: Sequence[Reading]) -> bytes:
    return canonical(map(lean, rows))


INTERLEAVED = ((2, 4, 7, 9, 11), (3, 6, 8, 10))
BLOCKS = ((2, 3, 4), (6, 7, 8, 9, 10, 11))


@pytest.mark.parametrize(("mine", "theirs"), [INTERLEAVED, BLOCKS], ids=["interleaved", "blocks"])
def test_branches_that_answer_different_tasks_merge_by_themselves(started, mine, theirs):
    before = started.readings()
    one = [started.reading(number, ONE, note="a\nb") for number in mine]
    other = [started.reading(number, OTHER, "No", verdict="reject") for number in theirs]
    started.answer("one", one)
    started.answer("other", other)
    started.merge("one", "other")
    found = started.readings()
    assert ordered(found) == ordered([*before, *one, *other])
    # The next writer puts the lines in order, as if one had written them all at once.
    store(started.path, found)
    assert started.path.read_bytes() == ordered([*before, *one, *other])


@pytest.mark.parametrize("seed", range(4))
def test_any_split_of_a_batch_among_three_branches_merges(repository, seed):
    draw = random.Random(seed)
    given = [repository.reading(number, draw.choice([ONE, OTHER])) for number in range(12)]
    parts = {"a": [], "b": [], "c": []}
    for row in given:
        parts[draw.choice("abc")].append(row)
    for branch, rows in parts.items():
        repository.answer(branch, rows)
    repository.merge(*parts)
    assert ordered(repository.readings()) == ordered(given)
    assert waiting(repository.tasks, repository.readings()).tasks == ()


def test_one_task_answered_on_both_branches_is_a_double_annotation(started):
    one = [started.reading(number, ONE) for number in (2, 3, 4)]
    other = [started.reading(number, OTHER, "No" if number == 3 else "Yes") for number in (3, 4, 6)]
    started.answer("one", one)
    started.answer("other", other)
    started.merge("one", "other")
    found = started.readings()
    groups = by_task(found)
    assert [row["annotator"] for row in groups["t03"]] == sorted([ONE, OTHER])
    assert disagree(groups["t03"])
    assert not disagree(groups["t04"])
    assert waiting(started.tasks, found).disputed == ("t03",)
    assert tasks_for("a third", started.tasks, found)[-1] == (started.tasks[3], True)


def test_the_import_computes_agreement_over_both_branches(repository):
    tasks = repository.tasks
    wrong = {2, 7}
    repository.answer(
        "one", [repository.reading(n, ONE, "Yes" if n % 2 else "No") for n in range(12)]
    )
    said = ["Yes" if (n % 2) != (n in wrong) else "No" for n in range(12)]
    repository.answer("other", [repository.reading(n, OTHER, said[n]) for n in range(12)])
    repository.merge("one", "other")
    assert waiting(tasks, repository.readings()) == Waiting((), (), ("t02", "t07"))
    repository.answer_more([repository.reading(n, "a third", adjudicates=True) for n in wrong])
    given = complete(repository.path, tasks, "batch")
    found = quality(table(tasks, TASK), given, 0.7, np.random.default_rng(0))
    assert found["double"] == {"tasks": 12, "disagreements": 2, "adjudicated": 2}
    agreement = found["agreement"]["presence"]
    assert (agreement["tasks"], agreement["exact"]) == (12, 10 / 12)
    assert agreement["kappa"] == pytest.approx(1 - (2 / 12) / 0.5)


def test_the_same_line_on_both_branches_counts_once(started):
    same = [started.reading(number, ONE) for number in (3, 7)]
    started.answer("one", [*same, started.reading(4, ONE)])
    started.answer("other", [started.reading(2, OTHER), *same])
    started.merge("one", "other")
    found = started.readings()
    assert [row for row in found if row["task_id"] in ("t03", "t07")] == same
    assert {"t02", "t03", "t04", "t07"} <= {row["task_id"] for row in found}


def test_one_persons_line_changed_on_both_branches_is_kept_twice_and_told_by_line(repository):
    repository.answer_more([repository.reading(number, ONE) for number in range(4)])
    repository.answer("one", [repository.reading(2, ONE, "No")])
    repository.answer("other", [repository.reading(2, ONE, note="sure")])
    repository.merge("one", "other")
    with pytest.raises(AnnotationError) as error:
        repository.readings()
    expected = f"{repository.path}:4: {ONE} answers task t02 on line 3 already, and otherwise"
    assert expected in str(error.value)


def test_a_line_changed_on_one_branch_alone_takes_its_new_form(repository):
    repository.answer_more([repository.reading(number, ONE) for number in range(6)])
    changed = repository.reading(2, ONE, "No")
    repository.answer("one", [changed])
    repository.answer("other", [repository.reading(9, OTHER)])
    repository.merge("one", "other")
    found = by_task(repository.readings())
    assert found["t02"] == [changed]
    assert found["t09"][0]["annotator"] == OTHER


def test_a_change_beside_another_branchs_new_line_loses_nothing_in_silence(repository):
    """Git takes neighbouring lines for one place: the old line comes back, and is told."""
    repository.answer_more([repository.reading(number, ONE) for number in (0, 1, 2)])
    repository.answer("one", [repository.reading(2, ONE, "No")])
    repository.answer("other", [repository.reading(3, OTHER)])
    repository.merge("one", "other")
    assert '"t03"' in repository.path.read_text(encoding="utf-8")
    with pytest.raises(AnnotationError, match=f"{ONE} answers task t02 on line"):
        repository.readings()


def test_a_file_without_a_last_line_end_merges_too(repository):
    """As some editors leave it."""
    for branch, number, name in (("one", 2, ONE), ("other", 3, OTHER)):
        repository.answer(branch, [repository.reading(number, name)])
        repository.path.write_bytes(repository.path.read_bytes().rstrip(b"\n"))
        git(repository.root, "commit", "-q", "-a", "--amend", "--no-edit")
    repository.merge("one", "other")
    assert [row["task_id"] for row in repository.readings()] == ["t02", "t03"]


@pytest.mark.parametrize("way", ["rebase", "cherry-pick"])
def test_a_branch_may_be_rebased_or_picked_as_well(started, way):
    before = started.readings()
    one = [started.reading(number, ONE) for number in (2, 4, 8)]
    other = [started.reading(number, OTHER) for number in (3, 4, 9)]
    started.answer("one", one)
    started.answer("other", other)
    words = ("rebase", "-q", "one") if way == "rebase" else ("cherry-pick", "one")
    git(started.root, *words)
    assert ordered(started.readings()) == ordered([*before, *one, *other])


def test_without_the_attributes_the_same_merge_is_a_conflict(repository):
    (repository.root / ".gitattributes").unlink()
    repository.commit("No attributes")
    repository.answer("one", [repository.reading(2, ONE)])
    repository.answer("other", [repository.reading(3, OTHER)])
    merged = subprocess.run(
        ["git", "merge", "-q", "--no-edit", "one"], cwd=repository.root, capture_output=True
    )
    assert merged.returncode == 1
