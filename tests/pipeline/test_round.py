"""Whole rounds on miniature data, driven as a user drives them."""

import json
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.pipeline.miniature import Workshop
from tests.test_tracking import contents as stored

ANSWERS = "data/annotations/round-001.jsonl"


@pytest.fixture
def answered(waiting: Workshop) -> Workshop:
    """The waiting repository with a faultless annotation file, removed again afterwards."""
    waiting.medq("simulate-expert")
    yield waiting
    waiting.path(ANSWERS).unlink(missing_ok=True)


def lock_of(shop: Workshop) -> str:
    return shop.path("dvc.lock").read_text(encoding="utf-8")


def test_repro_stops_at_annotate_import_and_says_what_is_pending(waiting: Workshop):
    before = lock_of(waiting)
    done = waiting.repro(check=False)
    assert done.returncode != 0
    assert "annotate-import" in done.stderr
    tasks = waiting.path("data/queue/round-001.jsonl").read_text(encoding="utf-8").splitlines()
    assert f"waiting for people: of {len(tasks)} tasks in {ANSWERS}, {len(tasks)} without" in (
        done.stdout + done.stderr
    )
    assert lock_of(waiting) == before


def test_nothing_generated_is_unignored_after_a_stopped_repro(waiting: Workshop):
    waiting.repro(check=False)
    lines = waiting.git("status", "--porcelain", "--untracked-files=all").splitlines()
    new = {line[3:] for line in lines}
    allowed = ("metrics/", "models/base/", "data/queue/round-001.jsonl")
    assert {p for p in new if not p.endswith(".lock") and not p.startswith(allowed)} == set()


def spoil(kind: str, lines: list[str]) -> list[str]:
    """An annotation file with one fault."""
    if kind == "stale":
        row = json.loads(lines[0]) | {"batch": "000000000000"}
        return [json.dumps(row), *lines[1:]]
    if kind == "cut":
        return [*lines[:-1], lines[-1][: len(lines[-1]) // 2]]
    if kind == "duplicated":
        return [*lines, json.dumps(json.loads(lines[0]) | {"note": "otherwise"})]
    return ["not json", *lines[1:]]


@pytest.mark.parametrize(
    ("kind", "line"), [("stale", 1), ("cut", -1), ("duplicated", -1), ("malformed", 1)]
)
def test_a_faulty_file_is_named_by_line_and_changes_nothing(
    answered: Workshop, kind: str, line: int
):
    path = answered.path(ANSWERS)
    lines = spoil(kind, path.read_text(encoding="utf-8").splitlines())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    before = lock_of(answered)
    done = answered.run(sys.executable, "-m", "pipeline.annotate_import", check=False)
    assert done.returncode == 1
    number = line if line > 0 else len(lines)
    assert f"{ANSWERS}:{number}:" in done.stderr
    assert lock_of(answered) == before
    assert not answered.path("data/round/training.parquet").exists()


def test_simulated_expert_does_not_overwrite_people(answered: Workshop):
    path = answered.path(ANSWERS)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"annotator": "dr-a"})
    text = "\n".join(lines) + "\n"
    path.write_text(text, encoding="utf-8")
    done = answered.medq("simulate-expert", check=False)
    assert done.returncode != 0
    assert "dr-a" in done.stderr
    assert path.read_text(encoding="utf-8") == text


def test_splits_share_no_subject(waiting: Workshop):
    subjects = {
        split: set(
            pl.read_parquet(waiting.path(f"data/benchmark/{split}/items.parquet"))["subject_id"]
        )
        for split in ("dev", "gate", "test")
    }
    subjects["pool"] = set(pl.read_parquet(waiting.path("data/pool"))["subject_id"])
    for a in subjects:
        for b in subjects:
            assert a == b or not subjects[a] & subjects[b]


def test_a_round_ends_with_verdict_report_and_table(finished: Workshop):
    gate = json.loads(finished.path("metrics/gate.json").read_text(encoding="utf-8"))
    assert gate["verdict"] in ("pass", "fail", "inconclusive")
    assert gate["verdict"] in finished.path("reports/round-001.html").read_text(encoding="utf-8")
    said = finished.medq("status").stdout
    assert "verdict" in said
    assert "reports/round-001.html" in said
    assert said.strip().splitlines()[-1] == "next: medq close"


def test_second_repro_runs_nothing(finished: Workshop):
    assert "Running stage" not in finished.repro().stdout


def test_what_dvc_shows_of_a_round_is_short(finished: Workshop, tmp_path: Path):
    (shown,) = json.loads(finished.dvc("metrics", "show", "--json").stdout).values()
    assert shown["data"].keys() == {"metrics/summary.json"}
    header, *_ = finished.dvc("exp", "show", "--md").stdout.splitlines()
    assert "| verdict " in header
    finished.dvc("plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots" / "index.html").read_text(encoding="utf-8")
    for title in ("labels so far", "expert minutes so far", "accuracy gained over the incumbent"):
        assert title in page


def test_the_batchs_summary_says_who_answered(finished: Workshop):
    said = finished.medq("batch", "--summary").stdout
    assert "simulated" in said
    written = finished.path("reports/round-001-batch.md").read_text(encoding="utf-8")
    assert written.rstrip() == said.rstrip()
    assert finished.path("reports/round-001-batch.png").exists()


def test_the_gate_does_not_read_test_to_decide(finished: Workshop, tmp_path: Path):
    shop = finished.copy(tmp_path / "copy")
    before = json.loads(shop.path("metrics/gate.json").read_text(encoding="utf-8"))
    items = shop.path("data/benchmark/test/items.parquet")
    table = pl.read_parquet(items)
    closed = pl.col("task") == "perception"
    # Other right answers on test: what is reported must move, the verdict must not.
    wrong = pl.when(closed).then(pl.col("options").list.last()).otherwise(pl.col("answer"))
    items.unlink()
    table.with_columns(answer=wrong).write_parquet(items)
    shop.run(sys.executable, "-m", "pipeline.quality_gate")
    after = json.loads(shop.path("metrics/gate.json").read_text(encoding="utf-8"))
    assert after["test"]["incumbent"] != before["test"]["incumbent"]
    for key in ("verdict", "reason", "items_more", "gate"):
        assert after[key] == before[key]


def test_killed_finetune_resumes_to_the_same_adapter(finished: Workshop, tmp_path: Path):
    shop = finished.copy(tmp_path / "copy")
    before = lock_of(shop)
    # A kill between two checkpoints leaves a partial output and no lock entry; so does this.
    shutil.rmtree(shop.path("models/challenger"))
    shop.path("models/challenger").mkdir()
    shop.path("models/challenger/adapter_config.json").write_text("{", encoding="utf-8")
    shop.repro("--no-run-cache", "--force", "--single-item", "finetune")
    shop.repro()
    assert lock_of(shop) == before


def closed_state(shop: Workshop) -> tuple[object, ...]:
    """What closing a round makes: commits and tags, the index of all rounds, the MLflow store."""
    return (
        shop.git("show-ref"),
        shop.path("reports/index.html").read_bytes(),
        stored(shop.root),
    )


def ledger_of(shop: Workshop, tag: str) -> dict:
    """The cost ledger of a closed round."""
    return json.loads(shop.git("show", f"{tag}:metrics/annotate_import.json"))["ledger"]


def test_rounds_close_follow_and_can_be_restored(
    finished: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shop = finished.copy(tmp_path / "copy")

    assert shop.medq("next", check=False).returncode != 0  # not closed yet
    stray = shop.path("stray.txt")
    stray.write_text("x", encoding="utf-8")
    refused = shop.medq("close", check=False)
    assert refused.returncode != 0
    assert "stray.txt" in refused.stderr
    stray.unlink()

    # The miniature model learns nothing, so the pass that moves the incumbent is written by hand.
    gate = shop.path("metrics/gate.json")
    verdict = json.loads(gate.read_text(encoding="utf-8")) | {"verdict": "pass"}
    gate.write_text(json.dumps(verdict), encoding="utf-8")
    shop.dvc("commit", "--force", "quality-gate")
    shop.medq("close")
    once = closed_state(shop)
    assert "was in MLflow already" in shop.medq("close").stdout
    assert closed_state(shop) == once
    assert shop.git("status", "--porcelain") == ""
    assert "models/cards/round-001.md" in shop.git("ls-files", "models/cards")

    shop.medq("next")
    params = shop.path("params.yaml").read_text(encoding="utf-8")
    assert "round: 2" in params
    assert "# R (paper)" in params  # comments survive

    shop.repro("route")
    assert (
        shop.path("models/current/adapter_model.safetensors").read_bytes()
        == shop.path("models/challenger/adapter_model.safetensors").read_bytes()
    )
    history = set(pl.read_parquet(shop.path("data/history.parquet"))["image_id"])
    tasks = set(pl.read_parquet(shop.path("data/round/tasks.parquet"))["image_id"])
    assert history
    assert not history & tasks
    shop.medq("simulate-expert")
    shop.repro()
    labels = pl.read_parquet(shop.path("data/round/labels.parquet"))
    assert set(labels["round"]) == {1, 2}
    shop.medq("close")
    first, second = (ledger_of(shop, tag) for tag in ("round-001", "round-002"))
    assert json.loads(shop.path("data/ledger.json").read_text(encoding="utf-8")) == first["total"]
    for name in ("labels", "seconds", "money"):
        both = first["round"][name] + second["round"][name]
        assert second["total"][name] == pytest.approx(both)
    table = shop.medq("history").stdout
    assert "| round-001 |" in table
    assert "| round-002 |" in table
    twice = closed_state(shop)
    shop.medq("track", "--rebuild")
    assert closed_state(shop) == twice

    shop.git("checkout", "--quiet", "round-001")
    shop.dvc("checkout")
    assert json.loads(shop.dvc("status", "--json").stdout) == {}
    assert "Running stage" not in shop.repro().stdout


def test_an_incumbent_with_another_md5_is_refused(finished: Workshop, tmp_path: Path):
    shop = finished.copy(tmp_path / "copy")
    shop.git("add", "--all")
    shop.git("commit", "--quiet", "-m", "A round")
    rev = shop.git("rev-parse", "HEAD")
    params = shop.path("params.yaml")
    text = params.read_text(encoding="utf-8")
    wrong = f'incumbent: {{round: 1, rev: "{rev}", md5: "{"0" * 32}"}}'
    params.write_text(
        "\n".join(wrong if x.startswith("incumbent:") else x for x in text.splitlines()),
        encoding="utf-8",
    )
    done = shop.run(sys.executable, "-m", "pipeline.current", check=False)
    assert done.returncode != 0
    assert "0" * 32 in done.stderr
    assert not shop.path("models/current").exists()
