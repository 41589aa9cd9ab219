"""What people type to answer a batch; the page and the file formats have tests of their own."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from dvc.repo import Repo
from PIL import Image

from medq_engine import answer_file, cli, tables
from medq_engine.annotations import Reading, reading
from medq_engine.commands import life
from medq_engine.rounds import git
from tests.commands.typed import ANSWERS, QUEUE, REPOSITORY, refused
from tests.exchange.miniature_exports import filled, label_studio_export, saved

PAGE, SHEET = Path("reports/round-001-batch.md"), Path("reports/round-001-batch.png")
RIGHT = ("Yes", "aliasing", "None")


@pytest.fixture
def say(batch) -> Callable[..., Reading]:
    """A reading of the task with a number: the right answer, unless another is given."""

    def said(annotator: str, number: int, answer: str = "", **more: object) -> Reading:
        given = "" if more.get("unjudged") else answer or RIGHT[number]
        return reading(batch.tasks[number], annotator, batch.fingerprint, given, **more)

    return said


@pytest.fixture
def write(batch) -> Callable[..., None]:
    """Answer as the page does."""
    return lambda *readings: answer_file.save(batch, readings)


@pytest.fixture
def table(batch, tmp_path) -> Callable[[Iterable[Reading]], Path]:
    """The exported CSV as somebody fills it in and saves it, outside the repository."""

    def made(readings: Iterable[Reading]) -> Path:
        cli.main(["export-batch", "--format", "csv", "--out", str(tmp_path / "csv")])
        empty = (tmp_path / "csv" / "round-001.csv").read_bytes()
        path = tmp_path / "answers.csv"
        path.write_bytes(saved(filled(empty, list(readings))))
        return path

    return made


def typed(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    """Lines that a command prints."""
    capsys.readouterr()
    cli.main([str(word) for word in words])
    return capsys.readouterr().out.splitlines()


def test_a_batch_says_what_it_waits_for_until_all_is_answered(waiting, say, write, capsys):
    def lines() -> list[str]:
        return typed(capsys, "batch")

    assert lines() == ["round-001: of 3 tasks, 3 without an answer", "next: medq review"]
    write(say("dr-a", 0), say("dr-a", 1))
    assert lines()[0] == ("round-001: of 3 tasks, 1 without an answer, 1 without a second reader")
    write(say("dr-a", 2), say("dr-b", 1, "no degradation"))
    assert lines()[0] == "round-001: of 3 tasks, 1 in dispute, to be adjudicated"
    write(say("dr-c", 1, adjudicates=True))
    assert lines() == ["round-001: all 3 tasks are answered", "next: dvc repro"]


def test_a_broken_annotation_file_is_named_by_line(waiting):
    tables.replace(ANSWERS, b"\n<<<<<<< HEAD\n")
    for words in (["batch"], ["batch", "--summary"]):
        said = refused(*words)
        assert said.startswith("medq batch: 1 faulty lines")
        assert f"{ANSWERS}:2: not JSON" in said
    assert not PAGE.exists()


def test_the_summary_is_printed_and_written_with_a_contact_sheet(waiting, say, write, capsys):
    write(say("dr-a", 0, "No", seconds=90.0), say("dr-a", 2, unjudged="too | dark"))
    lines = typed(capsys, "batch", "--summary")
    assert lines[0] == "# round-001: 3 tasks for people"
    assert lines[2].startswith("**2 of 3 tasks answered**")
    assert "\n".join(lines) + "\n" == PAGE.read_text(encoding="utf-8")
    assert Image.open(SHEET).format == "PNG"
    before = PAGE.read_bytes(), SHEET.read_bytes()
    assert typed(capsys, "batch", "--summary") == lines
    assert (PAGE.read_bytes(), SHEET.read_bytes()) == before


def test_the_summary_is_made_anew_from_what_is_answered_now(waiting, say, write, capsys):
    typed(capsys, "batch", "--summary")
    before = PAGE.read_bytes(), SHEET.read_bytes()
    write(say("dr-a", 0))
    lines = typed(capsys, "batch", "--summary")
    assert lines[2].startswith("**1 of 3 tasks answered**")
    assert PAGE.read_bytes() != before[0]
    assert SHEET.read_bytes() != before[1]


def test_the_summary_of_simulated_people_says_so(waiting, sure, capsys):
    life.simulate_expert(waiting, sure)
    assert any("simulated" in line for line in typed(capsys, "batch", "--summary")[:6])


def test_a_summary_wants_the_rounds_tasks(waiting):
    Path("data/round/tasks.parquet").unlink()
    said = refused("batch", "--summary")
    assert "tasks.parquet: no such table" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("form", "file"), [("csv", "round-001.csv"), ("label-studio", "tasks.json")]
)
def test_a_batch_goes_out_with_its_images_and_the_next_step(waiting, tmp_path, capsys, form, file):
    out = tmp_path / "out"
    said = typed(capsys, "export-batch", "--format", form, "--out", out)
    assert said == [f"3 tasks are in {out / file}", "next: answer them, medq import-batch FILE"]
    assert (out / file).exists()
    assert len(list((out / "images").iterdir())) == 3
    assert git(waiting, "status", "--porcelain", "--", "data/annotations") == ""
    assert "not an empty folder" in refused("export-batch", "--format", form, "--out", str(out))


@pytest.mark.parametrize("words", [["--format", "csv"], ["--format", "xlsx", "--out", "x"]])
def test_an_export_wants_a_form_and_a_folder(waiting, capsys, words):
    with pytest.raises(SystemExit) as stop:
        cli.main(["export-batch", *words])
    assert stop.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_a_filled_in_table_comes_in_and_what_is_left_is_told(waiting, say, table, answers, capsys):
    given = [
        say("dr-a", 0, description="There is severe aliasing. The quality of this image is reject.")
        | {"seconds": 12.5, "note": '=SUM(1) "quoted"\nline'},
        say("dr-a", 1, verdict="reject"),
        say("dr-b", 1, unjudged="\U0001fa7b too dark"),
    ]
    said = typed(capsys, "import-batch", file := table(given))
    assert said[0].startswith(f"3 readings of {file} are in ")
    assert said[0].endswith(f"{ANSWERS}; 1 were left open there")
    assert said[1:] == [
        "round-001: of 3 tasks, 1 without an answer, 1 in dispute, to be adjudicated",
        "next: medq review",
    ]
    assert answers() == given


def test_label_studio_gives_the_same_file_as_the_page(
    waiting, say, write, answers, tmp_path, capsys
):
    given = [say("dr-a", 0, seconds=4.5), say("dr-b", 1), say("dr-c", 1), say("dr-a", 2)]
    write(*given)
    of_the_page = ANSWERS.read_bytes()
    ANSWERS.unlink()
    typed(capsys, "export-batch", "--format", "label-studio", "--out", tmp_path / "ls")
    tasks = json.loads((tmp_path / "ls" / "tasks.json").read_text(encoding="utf-8"))
    export = tmp_path / "project-1.json"
    export.write_text(json.dumps(label_studio_export(tasks, given)), encoding="utf-8")
    said = typed(capsys, "import-batch", export)
    assert said[-2:] == ["round-001: all 3 tasks are answered", "next: dvc repro"]
    assert ANSWERS.read_bytes() == of_the_page


def test_the_same_file_twice_changes_nothing(waiting, say, table, capsys):
    file = table([say("dr-a", 0, note="ü"), say("dr-a", 2)])
    first = typed(capsys, "import-batch", file)
    before = ANSWERS.read_bytes()
    assert typed(capsys, "import-batch", file) == first
    assert ANSWERS.read_bytes() == before


def test_an_import_joins_what_the_page_wrote(waiting, say, write, table, answers, capsys):
    """Another's reading is a double annotation; one's own is replaced by what one says now."""
    kept = [say("dr-b", 0, "No"), say("dr-a", 2)]
    write(*kept, say("dr-a", 1, "no degradation"))
    new = [say("dr-a", 0), say("dr-a", 1)]
    typed(capsys, "import-batch", table(new))
    found = {(row["task_id"], row["annotator"]): row for row in answers()}
    expected = [*kept, *new]
    assert found == {(row["task_id"], row["annotator"]): row for row in expected}
    assert len(answers()) == len(expected)


@pytest.mark.parametrize("started", [False, True])
def test_a_faulty_file_writes_nothing_and_names_every_row(waiting, say, write, table, started):
    if started:
        write(say("dr-b", 0))
    before = ANSWERS.read_bytes() if started else None
    wrong = [
        say("dr-a", 0) | {"answer": "Perhaps"},
        say("dr-a", 1),
        say("dr-a", 2) | {"verdict": "reject"},
    ]
    said = refused("import-batch", str(table(wrong)))
    assert said.startswith("medq import-batch: ")
    assert "2 faulty answers, nothing was imported" in said
    assert "\nrow 2: answer 'Perhaps' is none of the options ['Yes', 'No']\n" in said
    assert "\nrow 4: answer 'None' contradicts verdict 'reject'" in said
    assert "row 3" not in said
    assert (ANSWERS.read_bytes() if ANSWERS.exists() else None) == before


def test_the_answers_of_another_batch_are_refused(waiting, tasks, say, table):
    file = table([say("dr-a", 0)])
    tables.replace(QUEUE, tables.canonical([task | {"entropy": 0.5} for task in tasks]))
    assert "it is from another round, or was routed anew since" in refused(
        "import-batch", str(file)
    )
    assert not ANSWERS.exists()


def test_who_answered_is_given_or_asked_for(waiting, say, table, answers, capsys):
    file = table([say("", 0), say("dr-b", 1), say("", 2)])
    said = refused("import-batch", str(file))
    assert "row 2: does not say who answered: give --annotator NAME" in said
    assert "row 4: does not say who answered" in said
    assert not ANSWERS.exists()
    typed(capsys, "import-batch", file, "--annotator", "dr-a")
    assert [row["annotator"] for row in answers()] == ["dr-a", "dr-b", "dr-a"]


def test_a_file_that_is_not_there_is_named_in_one_line(waiting):
    said = refused("import-batch", "answers.csv")
    assert said.startswith("medq import-batch: answers.csv cannot be read: ")
    assert "\n" not in said


def test_neither_git_nor_dvc_sees_the_locks_beside_the_answers(waiting, say, write):
    """Git would refuse to close the round, and DVC hash them with data/annotations."""
    write(say("dr-a", 0))
    with answer_file.locked(ANSWERS, "server"):
        locks = [path.relative_to(waiting) for path in waiting.glob("data/annotations/.*")]
        seen = git(waiting, "status", "--porcelain", "--untracked-files=all", "--", "data")
    assert seen.split() == ["??", str(ANSWERS), "??", str(QUEUE)]
    assert len(locks) == 2
    with Repo(str(REPOSITORY)) as repository:
        for lock in locks:
            assert repository.dvcignore.is_ignored_file(str(REPOSITORY / lock))


@pytest.fixture
def served(monkeypatch) -> list[tuple[object, ...]]:
    """What the page's server is started with, in the place of the server."""
    from medq_engine.review import command

    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(command, "run", lambda *settings: given.append(settings))
    return given


def test_review_serves_what_is_asked_for_and_prints_nothing_more(waiting, served, capsys):
    assert typed(capsys, "review") == []
    words = ["review", "--annotator", "Ärztin B", "--port", "8001", "--no-browser"]
    assert typed(capsys, *words) == []
    assert served == [(waiting, None, 0, True), (waiting, "Ärztin B", 8001, False)]


def test_review_is_refused_without_a_batch_in_one_line(waiting):
    QUEUE.unlink()
    said = refused("review", "--no-browser")
    assert said.startswith("medq review: ")
    assert said.endswith("round-001.jsonl is not there yet: run `dvc repro route`")
    assert "\n" not in said


def test_review_is_refused_without_a_name_in_one_line(waiting):
    """The test's git knows nothing of the user's settings."""
    said = refused("review", "--no-browser")
    assert said == (
        "medq review: git knows no name to answer under: `git config user.name NAME`, or give "
        "--annotator"
    )
