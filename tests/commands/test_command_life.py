"""A round from its batch to the next round, as people type it; MLflow has tests of its own."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medq_engine import cli, closed, rounds, tables, tracking
from medq_engine.annotations import AnnotationError
from medq_engine.annotators import EXPERT_NAME
from medq_engine.commands import life
from medq_engine.config import Endpoint, load_params
from medq_engine.descriptions import describe
from medq_engine.language import Finding
from medq_engine.rounds import RoundError, git
from medq_engine.stand_ins import ADJUDICATOR_NAME, SECOND_NAME
from tests.closed_repository import Repository
from tests.commands.typed import ANSWERS, params, refused
from tests.made_rounds import BASELINES

CARD, INDEX = Path("models/cards/round-001.md"), Path("reports/index.html")
WAITS = "next: medq review (or: medq simulate-expert), dvc repro"


def test_simulated_people_answer_the_batch_as_people_do(waiting, sure, answers):
    said = life.simulate_expert(waiting, sure)
    assert said.splitlines() == [
        f"{EXPERT_NAME}, {SECOND_NAME} answered 3 tasks in {ANSWERS} (3 simulated minutes)",
        "next: dvc repro",
    ]
    rows = {(row["task_id"], row["annotator"]): row for row in answers()}
    assert {key: row["answer"] for key, row in rows.items()} == {
        ("t0", EXPERT_NAME): "Yes",
        ("t1", EXPERT_NAME): "aliasing",
        ("t1", SECOND_NAME): "aliasing",
        ("t2", EXPERT_NAME): "None",
    }
    assert rows["t2", EXPERT_NAME]["description"] == describe("mri", ())
    assert {row["seconds"] for row in rows.values()} == {40.0}


def test_disputes_of_simulated_people_are_settled_by_a_third(waiting, sure, answers):
    """They see what is not there, and each something else."""
    erring = replace(sure, expert=replace(sure.expert, accuracy=0.0))
    said = life.simulate_expert(waiting, erring)
    assert said.startswith(f"{EXPERT_NAME}, {SECOND_NAME}, {ADJUDICATOR_NAME} answered 3 tasks")
    twice = {row["annotator"]: row for row in answers() if row["task_id"] == "t1"}
    assert twice[EXPERT_NAME]["answer"] != twice[SECOND_NAME]["answer"]
    assert [name for name, row in twice.items() if row["adjudicates"]] == [ADJUDICATOR_NAME]
    assert life.pending(waiting, "round-001") == ""


def test_simulated_people_may_answer_again_and_answer_the_same(waiting):
    life.simulate_expert(waiting, params())
    first = ANSWERS.read_bytes()
    life.simulate_expert(waiting, params())
    assert ANSWERS.read_bytes() == first


def test_simulated_people_never_overwrite_people(waiting, tasks, answer_row):
    names = ["dr-b", EXPERT_NAME, "dr-a"]
    rows = [answer_row(task, annotator=name) for task, name in zip(tasks, names, strict=True)]
    tables.replace(ANSWERS, tables.canonical(rows))
    before = ANSWERS.read_bytes()
    with pytest.raises(RoundError, match="holds answers of dr-a, dr-b; they are not overwritten"):
        life.simulate_expert(waiting, params())
    assert ANSWERS.read_bytes() == before


def test_simulated_people_know_the_truth_of_the_pool_and_of_dev(waiting):
    aliased = [Finding("aliasing", "severe")]
    assert life.simulated_truth(waiting) == {"image-t0": aliased, "image-t1": aliased} | {
        "image-t2": []
    }


@pytest.mark.parametrize("missing", ["oracle/truth", "benchmark/dev/items"])
def test_missing_truth_is_refused_in_one_line(waiting, missing):
    Path(f"data/{missing}.parquet").unlink()
    said = refused("simulate-expert")
    assert f"{Path(missing).name}.parquet: no such table" in said
    assert "\n" not in said
    assert not ANSWERS.exists()


def test_an_image_that_the_simulator_did_not_make_is_named_with_a_way_out(waiting):
    path = Path("data/oracle/truth.parquet")
    truth = tables.read(path, tables.TRUTH)
    tables.write(truth[1:], path, tables.TRUTH)
    said = refused("simulate-expert")
    assert "truth.parquet does not know the image of task t0 (1 in all)" in said
    assert "medq review" in said
    assert not ANSWERS.exists()


def test_status_of_a_fresh_round(round_root):
    found = life.status(round_root, load_params(round_root / "params.yaml"))
    assert found.splitlines() == [
        "round-001, incumbent: base model",
        "not run yet",
        "next: dvc repro",
    ]


def test_status_names_stale_stages(round_root, stale, write_metrics):
    write_metrics(round_root)
    stale |= {"finetune": [], "cluster": []}
    found = life.status(round_root, load_params(round_root / "params.yaml"))
    assert found.splitlines()[1:] == ["stale: cluster, finetune", "next: dvc repro"]


def test_status_says_that_an_endpoints_round_ends_with_its_labels(round_root, stale, write_metrics):
    write_metrics(round_root)
    known = load_params(round_root / "params.yaml")
    served = replace(
        known,
        model=replace(known.model, id="endpoint:lab"),
        endpoints={"lab": Endpoint("http://localhost/v1", "m", None, 1, 9.0, 0, 9, 0.0, 0.0, 0.0)},
    )
    stale |= {"finetune": [], "quality-gate": []}
    lines = life.status(round_root, served).splitlines()
    assert lines[1] == "the labels are in data/round/training.parquet"
    assert lines[2].endswith("its round ends here")
    stale |= {"route": []}
    assert life.status(round_root, served).splitlines()[-1] == "next: dvc repro"


def test_status_says_what_waits_for_people(waiting, stale, tasks, answer_row, batch):
    stale["annotate-import"] = []

    def answered(*rows: dict[str, object]) -> list[str]:
        tables.replace(
            ANSWERS, tables.canonical(row | {"batch": batch.fingerprint} for row in rows)
        )
        return life.status(waiting, params()).splitlines()[1:]

    one = answer_row(tasks[0])
    assert answered(one) == ["tasks wait for people: 2 without an answer", WAITS]
    others = [
        answer_row(tasks[1], answer="aliasing"),
        answer_row(tasks[1], answer="no degradation", annotator="reader-2"),
        answer_row(tasks[2], answer="None"),
    ]
    assert answered(one, others[0], others[2])[0] == (
        "tasks wait for people: 1 without a second reader"
    )
    assert answered(one, *others)[0] == "tasks wait for people: 1 in dispute, to be adjudicated"
    settled = answered(one, *others, answer_row(tasks[1], answer="aliasing", adjudicates=True))
    assert settled == ["stale: annotate-import", "next: dvc repro"]


def test_status_tells_what_is_wrong_with_the_answers(waiting, stale):
    stale["annotate-import"] = []
    tables.replace(ANSWERS, b"not json\n")
    lines = life.status(waiting, params()).splitlines()
    assert lines[1].startswith("1 faulty lines")
    assert f"{ANSWERS}:1: not JSON" in lines[2]
    assert lines[-1] == WAITS
    with pytest.raises(AnnotationError):
        life.simulate_expert(waiting, params())
    assert ANSWERS.read_bytes() == b"not json\n"


def test_status_of_a_finished_round_is_a_table_with_the_next_command(waiting, write_metrics):
    write_metrics(waiting)
    assert life.status(waiting, params()).splitlines() == [
        "round-001, incumbent: base model",
        "  gate  accuracy  60.0 % -> 65.0 %   difference +5.0 points, 95 % interval "
        "+1.0 to +9.0   (120 items)",
        "  test  accuracy  60.0 % -> 65.0 %   difference +5.0 points, 95 % interval "
        "+1.0 to +9.0   (120 items)",
        "  verdict         pass: R.",
        "  labels by route draft 8, expert 12, model 20",
        "  experts         reader-1 12; 9 minutes",
        "  report          reports/round-001.html",
        "next: medq close",
    ]
    rounds.close(waiting, "round-001", "M")
    assert life.status(waiting, params()).splitlines()[-1] == "next: medq next"


def test_status_names_the_round_whose_adapter_is_in_force(round_root):
    path = round_root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    named = "incumbent: {round: 7, rev: abc, md5: def}"
    lines = [named if x.startswith("incumbent:") else x for x in text.splitlines()]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert life.status(round_root, load_params(path)).startswith("round-001, incumbent: round 7\n")


@pytest.fixture
def logged(monkeypatch) -> list[tuple[str, str]]:
    """What is logged, without MLflow: tags with the commit that each was at."""
    given: list[tuple[str, str]] = []

    def log_closed(root: Path, tag: str) -> bool:
        given.append((tag, closed.read(root, tag).commit))
        return len(given) == 1

    monkeypatch.setattr(tracking, "log_closed", log_closed)
    return given


@pytest.fixture
def finish(waiting, sure, tmp_path, logged) -> Callable[..., None]:
    """Bring the round in the working directory to its verdict."""

    def finished(verdict: str = "pass") -> None:
        life.simulate_expert(waiting, sure)
        made = Repository(tmp_path / "made")
        made.close(verdict)
        for folder in ("metrics", "data/baselines"):
            shutil.copytree(made.root / folder, waiting / folder)
        tables.write_json(BASELINES, waiting / "metrics" / "baselines.json")
        for lock in ("dvc.lock", "data/dvc.lock"):
            shutil.copy(made.root / lock, waiting / lock)
        tables.replace(waiting / "models" / "challenger" / "adapter.bin", b"weights")
        tables.replace(waiting / "data" / "round" / "labels.parquet", b"labels")
        git(waiting, "add", "data/baselines")
        git(waiting, "commit", "-q", "-m", "What a round does not write")

    return finished


def test_close_commits_tags_logs_and_writes_the_index(finish, logged, capsys):
    finish()
    cli.main(["close"])
    commit = git(Path(), "rev-parse", "round-001")
    assert git(Path(), "rev-parse", "HEAD") == commit
    assert git(Path(), "log", "-1", "--format=%s") == "round-001: pass, because"
    tagged, page, outlook, then = capsys.readouterr().out.splitlines()
    assert tagged == f"round-001 is commit {commit[:10]}, tagged, and logged to MLflow"
    assert page == f"all rounds: {INDEX}"
    assert outlook.startswith("another round is expected to bring ")
    assert then == "next: medq next"
    assert logged == [("round-001", commit)]
    assert commit[:7] in INDEX.read_text(encoding="utf-8")


def test_closing_twice_changes_nothing(finish, logged, capsys):
    finish()
    cli.main(["close"])
    commit = git(Path(), "rev-parse", "HEAD")
    before = INDEX.read_bytes(), CARD.read_bytes()
    cli.main(["close"])
    assert "tagged, and was in MLflow already" in capsys.readouterr().out
    assert (INDEX.read_bytes(), CARD.read_bytes()) == before
    assert git(Path(), "rev-parse", "HEAD") == commit
    assert git(Path(), "tag", "--list") == "round-001"
    assert git(Path(), "status", "--porcelain") == ""
    assert logged == [("round-001", commit)] * 2


def test_an_accepted_adapter_has_a_model_card_in_the_rounds_commit(finish, batch):
    finish()
    cli.main(["close"])
    card = closed.read(Path(), "round-001").card
    assert CARD.read_text(encoding="utf-8") == f"{card}\n"
    assert "# MedQ-Engine adapter, round-001" in card
    assert batch.fingerprint in card
    assert "people in this round were simulated" in card


def test_the_card_of_a_site_with_data_of_its_own_does_not_call_its_faults_simulated(finish):
    finish()
    simulated = "**The faults are simulated**"
    assert simulated in life.card_of(Path(), params(), life.read_metrics(Path()))
    Path("data/dvc.lock").unlink()
    assert simulated not in life.card_of(Path(), params(), life.read_metrics(Path()))


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_an_adapter_that_is_not_accepted_has_no_model_card(finish, verdict):
    finish(verdict)
    # A close that was refused while the verdict was another one had written it.
    tables.replace(CARD, b"card")
    life.close(Path(), params())
    assert git(Path(), "log", "-1", "--format=%s") == f"round-001: {verdict}, because"
    assert not CARD.exists()


def test_a_foreign_file_is_named(finish, logged):
    finish()
    Path("stray.txt").write_text("x", encoding="utf-8")
    assert "stray.txt" in refused("close")
    assert git(Path(), "tag", "--list") == ""
    assert logged == []
    assert not INDEX.exists()


def test_next_names_adapter_and_labels_by_their_md5(finish, capsys):
    finish()
    rounds.close(Path(), "round-001", "M")
    cli.main(["next"])
    assert "params.yaml is at round-002" in capsys.readouterr().out
    following = params()
    assert following.incumbent.md5 == tables.folder_md5(Path("models/challenger"))
    assert following.incumbent.rev == git(Path(), "rev-parse", "round-001")
    assert following.history.md5 == rounds.bytes_md5(b"labels")


def test_next_wants_the_adapter(finish):
    finish()
    rounds.close(Path(), "round-001", "M")
    Path("models/challenger/adapter.bin").unlink()
    said = refused("next")
    assert "challenger: nothing is there" in said
    assert "\n" not in said


def test_history_prints_the_table_and_writes_the_page(finish, capsys):
    finish()
    rounds.close(Path(), "round-001", "M")
    cli.main(["history"])
    lines = capsys.readouterr().out.splitlines()
    assert "| round-001 |" in lines[-4]
    assert lines[-2].startswith("another round is expected to bring ")
    assert lines[-1] == str(INDEX)
    assert "round-001" in INDEX.read_text(encoding="utf-8")


@pytest.mark.parametrize(("words", "done"), [([], "track"), (["--rebuild"], "rebuild")])
def test_track_logs_what_is_missing_or_all_anew(waiting, monkeypatch, capsys, words, done):
    for name in ("track", "rebuild"):
        monkeypatch.setattr(tracking, name, lambda root, name=name: f"{name} {root}")
    cli.main(["track", *words])
    assert capsys.readouterr().out == f"{done} {waiting}\n"


def test_metrics_are_read_by_name(tmp_path):
    for name in ("gate", "route"):
        tables.write_json({"n": name}, tmp_path / "metrics" / f"{name}.json")
    assert life.read_metrics(tmp_path) == {"gate": {"n": "gate"}, "route": {"n": "route"}}
