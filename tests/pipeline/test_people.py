"""People answer the batch of a real round, in several ways, and `dvc repro` takes it from there."""

import json
import sys
from collections.abc import Iterator, Sequence

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from medq_engine import answer_file, cli
from medq_engine.annotations import Reading, read_readings, reading
from medq_engine.batches import Batch, open_batch
from medq_engine.readings import waiting as waits_for
from pipeline import annotate_import, stage
from tests import browser as browsers
from tests.browser import press, shown, visit
from tests.exchange.miniature_exports import filled, label_studio_export, saved
from tests.pipeline.miniature import Workshop

ANSWERS = "data/annotations/round-001.jsonl"
LABELS, TASKS = "data/round/labels.parquet", "data/round/tasks.parquet"
METRICS = "metrics/annotate_import.json"
ONE, OTHER = "Tester", "Ärztin B"  # git's name in the miniature, and another
KEYS = "123456789abdeijklqvy"  # of the options, as the page lists them
Row = dict[str, object]


def batch_of(shop: Workshop) -> Batch:
    return open_batch(shop.root, "round-001")


def readings_in(shop: Workshop) -> list[Reading]:
    batch = batch_of(shop)
    return read_readings(batch.answers, batch.tasks, batch.fingerprint)


def metrics_of(shop: Workshop) -> Row:
    return json.loads(shop.path(METRICS).read_text(encoding="utf-8"))


def known(shop: Workshop) -> dict[str, str]:
    """Answers of the gold tasks, which people do not know, by task."""
    tasks = pl.read_parquet(shop.path(TASKS)).filter(pl.col("gold") != "")
    return dict(tasks.select("task_id", "gold").iter_rows())


def answers_of(shop: Workshop) -> dict[str, str]:
    """An answer to each task: the right one where it is known, else one of the options in turn."""
    gold = known(shop)
    return {
        task["task_id"]: gold.get(task["task_id"]) or task["options"][number % len(task["options"])]
        for number, task in enumerate(batch_of(shop).tasks)
    }


def another(task: Row, answer: str) -> str:
    """An answer that is not this one."""
    return next(option for option in task["options"] if option != answer)


def expert_labels(shop: Workshop) -> dict[str, list[str]]:
    """Answer and annotator of the labels that people gave, by task."""
    labels = pl.read_parquet(shop.path(LABELS)).filter(pl.col("route") == "expert")
    return {task: said for task, *said in labels.select("task_id", "answer", "annotator").rows()}


# ---- (1) on the page ---------------------------------------------------------------------------


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that is watched (`tests.browser.watched`)."""
    with browsers.launched() as browser, browsers.watched(browser) as page:
        yield page


@pytest.fixture
def start() -> Iterator[browsers.Start]:
    """Starts servers (`tests.browser.served_apart`)."""
    with browsers.served_apart() as start:
        yield start


@browsers.needed
def test_a_batch_is_answered_by_keyboard_through_a_kill_and_imported(
    waiting: Workshop, start: browsers.Start, page: Page, tmp_path
):
    shop = waiting.copy(tmp_path / "copy")
    review = [sys.executable, "-m", "medq_engine.cli", "review", "--no-browser"]
    server, address = start(review, shop.root, shop.environment)
    tasks, given, gold = batch_of(shop).tasks, answers_of(shop), known(shop)
    twice = [task for task in tasks if task["readers"] == 2]
    unjudged = next(t for t in tasks if not t["blind"] and t["readers"] == 1)["task_id"]
    expected: dict[tuple[str, str, bool], tuple[str, str]] = {}

    def answer(task: Row, name: str, option: str, adjudicates: bool = False) -> None:
        shown(page, "#question", task["question"])
        press(page, KEYS[task["options"].index(option)])
        shown(page, "#state", "Saved")
        expected[task["task_id"], name, adjudicates] = (option, "")
        press(page, "n")

    visit(page, address)
    for number, task in enumerate(tasks):
        expect(page.locator("#count")).to_contain_text(f"{number} of 30")
        if number == 15:
            server.kill()
            server.wait()
            press(page, "1")
            expect(page.locator("#alert")).to_contain_text("the server does not answer")
            server, address = start(review, shop.root, shop.environment)
            visit(page, address)
            expect(page.locator("#count")).to_contain_text("15 of 30")
        if task["task_id"] == unjudged:
            shown(page, "#question", task["question"])
            press(page, "c", "out of view", "Enter")
            shown(page, "#state", "Saved")
            expected[unjudged, ONE, False] = ("", "out of view")
            press(page, "n")
        else:
            answer(task, ONE, given[task["task_id"]])
    shown(page, "#end-title", "Nothing waits for you")

    press(page, "w", OTHER, "Enter")
    agreed, disputed = twice
    answer(agreed, OTHER, given[agreed["task_id"]])
    answer(disputed, OTHER, another(disputed, given[disputed["task_id"]]))
    shown(page, "#others h2", "The readings disagree: yours settles it")
    ruled = another(disputed, given[disputed["task_id"]])
    answer(disputed, OTHER, ruled, adjudicates=True)
    shown(page, "#end-title", "All 30 tasks are answered")

    readings = readings_in(shop)
    assert {
        (row["task_id"], row["annotator"], row["adjudicates"]): (row["answer"], row["unjudged"])
        for row in readings
    } == expected
    assert len(readings) == len(expected) == 33

    shop.repro("annotate-import")
    taught = {task_id: [given[task_id], ONE] for task_id in given.keys() - gold.keys()}
    del taught[unjudged]
    assert expert_labels(shop) == taught | {disputed["task_id"]: [ruled, OTHER]}
    metrics = metrics_of(shop)
    quality, ledger = metrics["quality"], metrics["ledger"]["round"]
    assert quality["double"] == {"tasks": 2, "disagreements": 1, "adjudicated": 1}
    assert quality["gold"][ONE]["right"] == quality["gold"][ONE]["tasks"] == len(gold) == 2
    assert sum(scale["tasks"] for scale in quality["agreement"].values()) == 2
    assert (quality["unjudged"], quality["unblinded"]) == (1, 0)
    spent = {name: part["readings"] for name, part in ledger["by_annotator"].items()}
    assert spent == {ONE: 30, OTHER: 3}
    assert ledger["by_purpose"]["gold"]["readings"] == 2
    assert ledger["by_purpose"]["second reading"]["readings"] == 2
    assert ledger["by_purpose"]["adjudication"]["readings"] == 1
    assert ledger["seconds"] == pytest.approx(sum(row["seconds"] for row in readings))
    assert ledger["seconds"] > 0


# ---- (2) on two branches -----------------------------------------------------------------------


def answered_in_a_clone(shop: Workshop, name: str, readings: Sequence[Reading]) -> None:
    """Clone, answer on a branch, push; a clone has neither images nor tables, only git's files."""
    clone = Workshop(shop.root.with_name(name))
    shop.git("clone", "--quiet", ".", str(clone.root))
    clone.git("config", "user.name", name)
    clone.git("config", "user.email", f"{name}@localhost")
    clone.git("checkout", "--quiet", "-b", name)
    answer_file.save(batch_of(clone), readings)
    clone.git("add", ANSWERS)
    clone.git("commit", "--quiet", "-m", f"Readings of {name}")
    clone.git("push", "--quiet", "origin", name)


def test_two_branches_merge_and_import_with_their_agreement(waiting: Workshop, tmp_path):
    shop = waiting.copy(tmp_path / "copy")
    shop.git("add", "--all")
    shop.git("commit", "--quiet", "-m", "The batch")
    batch, said, gold = batch_of(shop), answers_of(shop), known(shop)
    ids = [task["task_id"] for task in batch.tasks]
    twice = {task["task_id"] for task in batch.tasks if task["readers"] == 2}
    both = {*ids[10:20], *twice}
    differ = sorted(both - gold.keys())[:3]
    about = {task["task_id"]: task for task in batch.tasks}

    def read(name: str, task_ids: set[str], turned: Sequence[str] = ()) -> list[Reading]:
        return [
            reading(
                about[task_id],
                name,
                batch.fingerprint,
                another(about[task_id], said[task_id]) if task_id in turned else said[task_id],
                seconds=20.0,
            )
            for task_id in task_ids
        ]

    annas, berts = {*ids[:20], *twice}, {*ids[10:], *twice}
    answered_in_a_clone(shop, "anna", read("anna", annas))
    answered_in_a_clone(shop, "bert", read("bert", berts, differ))
    for name in ("anna", "bert"):
        shop.git("merge", "--quiet", "--no-edit", name)
    assert shop.git("status", "--porcelain") == ""
    assert sorted(waits_for(batch.tasks, readings_in(shop)).tasks) == differ

    ruled = [row | {"adjudicates": True} for row in read("anna", set(differ))]
    answer_file.save(batch, ruled)
    shop.repro("annotate-import")
    assert expert_labels(shop) == {
        task_id: [said[task_id], "anna" if task_id in annas else "bert"]
        for task_id in said.keys() - gold.keys()
    }
    metrics = metrics_of(shop)
    found = metrics["quality"]
    assert found["double"] == {"tasks": len(both), "disagreements": 3, "adjudicated": 3}
    kinds = {"severity": "how", "presence": "yes-no", "fault": "what"}
    for scale, kind in kinds.items():
        here = {task_id for task_id in both if about[task_id]["question_type"] == kind}
        agreed = here - set(differ)
        if here:
            assert found["agreement"][scale]["tasks"] == len(here)
            assert found["agreement"][scale]["exact"] == pytest.approx(len(agreed) / len(here))
        else:
            assert scale not in found["agreement"]
    assert "verdict" not in found["agreement"]
    paid = metrics["ledger"]["round"]["by_annotator"]
    readings = {name: part["readings"] for name, part in paid.items()}
    assert readings == {"anna": len(annas) + 3, "bert": len(berts)}


# ---- (3) elsewhere, and (4) badly --------------------------------------------------------------


@pytest.fixture(scope="module")
def imported(waiting: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A copy whose batch was answered as the page does it, and imported."""
    shop = waiting.copy(tmp_path_factory.mktemp("imported") / "repository")
    batch, said = batch_of(shop), answers_of(shop)
    readings = [
        reading(
            task,
            name,
            batch.fingerprint,
            said[task["task_id"]],
            note='=1+1, "quoted"\n\U0001fa7b' if name == OTHER else "",
            seconds=number + 0.5,
        )
        for number, task in enumerate(batch.tasks)
        for name in (ONE, OTHER)[: task["readers"]]
    ]
    answer_file.save(batch, readings)
    shop.repro("annotate-import")
    return shop


def contents(shop: Workshop, *names: str) -> dict[str, bytes]:
    return {name: shop.path(name).read_bytes() for name in names}


@pytest.mark.parametrize("form", ["label-studio", "csv"])
def test_another_tool_gives_the_dataset_of_the_page(
    imported: Workshop, form: str, tmp_path, monkeypatch
):
    shop = imported.copy(tmp_path / "copy")
    readings, made = readings_in(shop), (ANSWERS, LABELS, METRICS)
    of_the_page = contents(shop, *made)
    for name in made:
        shop.path(name).unlink()
    monkeypatch.chdir(shop.root)
    cli.main(["export-batch", "--format", form, "--out", str(tmp_path / "out")])
    if form == "csv":
        file = tmp_path / "answers.csv"
        empty = (tmp_path / "out" / "round-001.csv").read_bytes()
        file.write_bytes(saved(filled(empty, readings)))
    else:
        file = tmp_path / "export.json"
        tasks = json.loads((tmp_path / "out" / "tasks.json").read_text(encoding="utf-8"))
        file.write_text(json.dumps(label_studio_export(tasks, readings)), encoding="utf-8")
    cli.main(["import-batch", str(file)])
    stage.run(annotate_import.main)
    assert contents(shop, *made) == of_the_page


def test_an_annotator_below_the_floor_holds_the_batch_back_and_is_named(
    imported: Workshop, tmp_path
):
    shop = imported.copy(tmp_path / "copy")
    batch, gold = batch_of(shop), known(shop)
    kept = ("dvc.lock", LABELS, METRICS, "data/round/training.parquet")
    before = contents(shop, *kept)
    wrong = [
        reading(task, ONE, batch.fingerprint, another(task, gold[task["task_id"]]), seconds=1.0)
        for task in batch.tasks
        if task["task_id"] in gold
    ]
    answer_file.save(batch, wrong)
    done = shop.repro("annotate-import", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "the batch is held back" in said
    assert f"{ONE} (0 of {len(gold)})" in said
    assert "Traceback" not in said
    assert contents(shop, *kept) == before
