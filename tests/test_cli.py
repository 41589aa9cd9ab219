import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from medq_engine import cli, doctor, rounds, tables, tracking, trials
from medq_engine.annotations import AnnotationError, read_annotations
from medq_engine.annotators import EXPERT_NAME
from medq_engine.config import Endpoint, Params, load_params
from medq_engine.descriptions import describe
from medq_engine.language import question
from medq_engine.rounds import RoundError, git

REPOSITORY = Path(__file__).parents[1]
QUEUE = Path("data/queue/round-001.jsonl")
ANSWERS = Path("data/annotations/round-001.jsonl")


@pytest.fixture
def tasks(task_row) -> list[dict[str, object]]:
    """A question of every type about MRI images; the third has nothing to be seen."""
    kinds = [("yes-no", "aliasing"), ("what", ""), ("how", "")]
    rows = []
    for number, (kind, attribute) in enumerate(kinds):
        text, options = question(kind, "mri", attribute)
        about = {"question_type": kind, "attribute": attribute, "question": text}
        rows.append(task_row(f"t{number}", options=list(options), **about))
    return rows


@pytest.fixture
def waiting(round_root, tasks, monkeypatch) -> Path:
    """The working directory: a round whose batch of three tasks waits for people."""
    tables.replace(round_root / QUEUE, tables.canonical(tasks))
    seen = [[{"label": "aliasing", "severity": "severe"}]] * 2 + [[]]
    truth = [
        {"image_id": task["image_id"], "modality": "mri", "findings": findings}
        for task, findings in zip(tasks, seen, strict=True)
    ]
    oracle = round_root / "data" / "oracle" / "truth.parquet"
    tables.write(tables.table(truth, tables.TRUTH), oracle, tables.TRUTH)
    (round_root / ".gitignore").write_text("/data/oracle\n", encoding="utf-8")
    git(round_root, "add", ".gitignore")
    git(round_root, "commit", "-q", "-m", "Oracle")
    monkeypatch.chdir(round_root)
    return round_root


@pytest.fixture
def sure(waiting) -> Params:
    """Params under which the simulated expert never errs."""
    given = params()
    return replace(given, expert=replace(given.expert, accuracy=1.0, seconds=40.0))


def params() -> Params:
    return load_params(Path("params.yaml"))


def refused(*words: str) -> str:
    """What a refused command prints on stderr."""
    with pytest.raises(SystemExit) as stop:
        cli.main(list(words))
    # A text as the code: the interpreter prints it on stderr and exits with 1.
    assert isinstance(stop.value.code, str)
    return stop.value.code


def test_the_simulated_expert_answers_the_batch_as_people_do(waiting, sure, tasks):
    said = cli.simulate_expert(waiting, sure)
    assert said.startswith(f"{EXPERT_NAME} answered 3 tasks in {ANSWERS} (2 simulated minutes)")
    assert said.endswith("next: dvc repro")
    batch = tables.fingerprint(QUEUE.read_bytes())
    rows = read_annotations(ANSWERS, tasks, batch)
    assert [row["answer"] for row in rows] == ["Yes", "aliasing", "None"]
    assert rows[2]["description"] == describe("mri", ())
    assert {row["annotator"] for row in rows} == {EXPERT_NAME}


def test_the_simulated_expert_may_answer_again_and_answers_the_same(waiting):
    cli.simulate_expert(waiting, params())
    first = ANSWERS.read_bytes()
    cli.simulate_expert(waiting, params())
    assert ANSWERS.read_bytes() == first


def test_the_simulated_expert_never_overwrites_people(waiting, tasks, answer_row):
    rows = [answer_row(tasks[0], annotator="dr-b"), answer_row(tasks[1], annotator="dr-a")]
    tables.replace(ANSWERS, tables.canonical(rows))
    before = ANSWERS.read_bytes()
    with pytest.raises(RoundError, match="holds answers of dr-a, dr-b; they are not overwritten"):
        cli.simulate_expert(waiting, params())
    assert ANSWERS.read_bytes() == before


def test_status_of_a_fresh_round(round_root):
    found = cli.status(round_root, load_params(round_root / "params.yaml"))
    assert found.splitlines() == [
        "round-001, incumbent: base model",
        "not run yet",
        "next: dvc repro",
    ]


def test_status_names_stale_stages(round_root, stale, write_metrics):
    write_metrics(round_root)
    stale |= {"finetune": [], "cluster": []}
    found = cli.status(round_root, load_params(round_root / "params.yaml"))
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
    lines = cli.status(round_root, served).splitlines()
    assert lines[1] == "the labels are in data/round/training.parquet"
    assert lines[2].endswith("its round ends here")
    stale |= {"route": []}
    assert cli.status(round_root, served).splitlines()[-1] == "next: dvc repro"


def test_status_counts_the_tasks_that_wait(waiting, stale, tasks, answer_row):
    stale["annotate-import"] = []
    batch = tables.fingerprint(QUEUE.read_bytes())
    tables.replace(ANSWERS, tables.canonical([answer_row(tasks[0], batch=batch)]))
    lines = cli.status(waiting, params()).splitlines()
    assert lines[1] == f"2 tasks wait for people in {QUEUE}"
    assert lines[2].startswith("next: answer them")
    # A file that breaks the contract answers nothing.
    ANSWERS.write_text("not json\n", encoding="utf-8")
    assert cli.status(waiting, params()).splitlines()[1].startswith("3 tasks wait")
    with pytest.raises(AnnotationError):
        cli.simulate_expert(waiting, params())
    ANSWERS.unlink()
    cli.simulate_expert(waiting, params())
    assert cli.status(waiting, params()).splitlines()[1] == "stale: annotate-import"


def test_status_of_a_finished_round_is_a_table_with_the_next_command(waiting, write_metrics):
    write_metrics(waiting)
    assert cli.status(waiting, params()).splitlines() == [
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
    assert cli.status(waiting, params()).splitlines()[-1] == "next: medq next"


def test_status_names_the_round_whose_adapter_is_in_force(round_root):
    path = round_root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    named = "incumbent: {round: 7, rev: abc, md5: def}"
    lines = [named if x.startswith("incumbent:") else x for x in text.splitlines()]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert cli.status(round_root, load_params(path)).startswith("round-001, incumbent: round 7\n")


@pytest.fixture
def finished(waiting, sure, write_metrics, monkeypatch) -> dict[str, object]:
    """A round that can be closed, in the working directory; what is logged, without MLflow."""
    cli.simulate_expert(waiting, sure)
    write_metrics(waiting, "pass")
    Path("dvc.lock").write_text("lock\n", encoding="utf-8")
    logged: dict[str, object] = {"runs": []}

    def log_round(root, plain, metrics, commit, digest, artifacts) -> bool:
        logged["runs"].append(commit)
        logged.update(params=plain, metrics=metrics, digest=digest, artifacts=artifacts)
        return len(logged["runs"]) == 1

    monkeypatch.setattr(tracking, "log_round", log_round)
    monkeypatch.setattr(
        tracking, "log_baselines", lambda root, first, *rest: logged.update(first=first)
    )
    published = waiting / "data" / "baselines" / "medq-bench.json"
    published.parent.mkdir()
    published.write_text("{}", encoding="utf-8")
    (waiting / "models" / "challenger").mkdir(parents=True)
    (waiting / "models" / "challenger" / "adapter.bin").write_bytes(b"weights")
    (waiting / "data" / "round").mkdir()
    (waiting / "data" / "round" / "labels.parquet").write_bytes(b"labels")
    ignored = "/data/oracle\n/data/round\n/models/challenger\n"
    (waiting / ".gitignore").write_text(ignored, encoding="utf-8")
    git(waiting, "add", ".gitignore", "data/baselines")
    git(waiting, "commit", "-q", "-m", "What a round does not write")
    return logged


def test_close_commits_tags_and_logs_and_may_be_run_again(finished, capsys):
    cli.main(["close"])
    commit = git(Path(), "rev-parse", "round-001")
    assert git(Path(), "rev-parse", "HEAD") == commit
    assert git(Path(), "log", "-1", "--format=%s") == "round-001: pass, R."
    said = capsys.readouterr().out
    assert (
        said
        == f"round-001 is commit {commit[:10]}, tagged, and logged to MLflow\nnext: medq next\n"
    )
    cli.main(["close"])
    assert "was in MLflow already" in capsys.readouterr().out
    assert finished["runs"] == [commit, commit]
    assert finished["digest"] == tables.fingerprint(b"lock\n")
    assert finished["params"]["simulated"] is True
    assert finished["first"] == {"accuracy": 0.6}


def test_a_round_that_people_answered_is_not_logged_as_simulated(finished):
    text = ANSWERS.read_text(encoding="utf-8").replace(EXPERT_NAME, "dr-a")
    ANSWERS.write_text(text, encoding="utf-8")
    cli.main(["close"])
    assert finished["params"]["simulated"] is False


def test_next_names_adapter_and_labels_by_their_md5(finished, capsys):
    cli.main(["close"])
    cli.main(["next"])
    assert "params.yaml is at round-002" in capsys.readouterr().out
    following = params()
    assert following.incumbent.md5 == tables.folder_md5(Path("models/challenger"))
    assert following.incumbent.rev == git(Path(), "rev-parse", "round-001")
    assert following.history.md5 == rounds.bytes_md5(b"labels")


def test_history_prints_the_table(finished, capsys):
    cli.main(["close"])
    capsys.readouterr()
    cli.main(["history"])
    assert "| round-001 |" in capsys.readouterr().out.splitlines()[-1]


ONE_LINE = {
    "close": "medq close: the round has no verdict yet: run `dvc repro`",
    "next": "medq next: the round has no verdict yet: run `dvc repro` and `medq close`",
}


@pytest.mark.parametrize("command", ONE_LINE)
def test_what_comes_too_early_is_refused_in_one_line(round_root, monkeypatch, command):
    monkeypatch.chdir(round_root)
    assert refused(command) == ONE_LINE[command]


def test_a_batch_that_is_not_there_is_refused_in_one_line(round_root, monkeypatch):
    monkeypatch.chdir(round_root)
    said = refused("simulate-expert")
    assert said.startswith("medq simulate-expert: ")
    assert said.endswith("round-001.jsonl is not there yet: run `dvc repro route`")
    assert "\n" not in said


def test_a_missing_oracle_is_refused_in_one_line(waiting):
    Path("data/oracle/truth.parquet").unlink()
    said = refused("simulate-expert")
    assert "truth.parquet: no such table" in said
    assert "\n" not in said
    assert not ANSWERS.exists()


def test_a_faulty_params_file_is_named_with_its_key(waiting):
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("gamma: 0.6", "gamma: 6"), encoding="utf-8")
    assert "evaluate.gamma" in refused("status")


def test_a_foreign_file_is_named(finished):
    Path("stray.txt").write_text("x", encoding="utf-8")
    assert "stray.txt" in refused("close")
    assert git(Path(), "tag", "--list") == ""


def test_next_wants_the_adapter(finished):
    cli.main(["close"])
    Path("models/challenger/adapter.bin").unlink()
    said = refused("next")
    assert "challenger: nothing is there" in said
    assert "\n" not in said


@pytest.mark.parametrize("words", [[], ["open"]])
def test_an_unknown_command_is_told_what_there_is(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert "usage: medq" in capsys.readouterr().err


def test_the_process_prints_one_line_on_stderr_and_exits_with_1(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "medq_engine.cli", "status"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("medq status: ")
    assert "params.yaml" in done.stderr


def test_profiles_are_listed(capsys, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    cli.main(["profile"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("nano           cpu     4 GB  ")
    assert any(line.startswith("internvl3-8b   cuda   80 GB") for line in lines)


def test_the_documentation_holds_the_table_of_today(capsys, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    cli.main(["profile", "--table"])
    table = capsys.readouterr().out
    assert table.startswith("ESTIMATES")
    page = Path("docs/models.md").read_text(encoding="utf-8")
    start, end = "<!-- medq profile --table -->\n", "<!-- end of the table -->"
    assert page.partition(start)[2].partition(end)[0] == table, (
        "write what `medq profile --table` prints into docs/models.md"
    )


@pytest.fixture
def profiled(round_root, monkeypatch) -> Path:
    """The working directory: a round at its start, with the repository's profiles."""
    shutil.copytree(REPOSITORY / "profiles", round_root / "profiles")
    monkeypatch.chdir(round_root)
    return round_root


def test_a_profile_is_written_and_its_diff_shown(profiled, capsys):
    cli.main(["profile", "smolvlm-256m"])
    said = capsys.readouterr().out
    assert "+  id: HuggingFaceTB/SmolVLM-256M-Instruct # a folder" in said
    assert said.endswith("next: medq doctor\n")
    assert params().model.id == "HuggingFaceTB/SmolVLM-256M-Instruct"
    cli.main(["profile", "smolvlm-256m"])
    assert capsys.readouterr().out.startswith("params.yaml holds smolvlm-256m already")


def test_an_adapter_of_another_model_is_pointed_out(profiled, capsys):
    path = profiled / "params.yaml"
    named = {"round": "2", "tag": "round-002", "incumbent": "{round: 1, rev: abc, md5: def}"}
    path.write_text(rounds.with_state(path.read_text(encoding="utf-8"), named), encoding="utf-8")
    cli.main(["profile", "qwen2.5-vl-7b"])
    assert "incumbent is an adapter of the model before" in capsys.readouterr().out


def test_an_unknown_profile_is_refused_with_the_names(profiled):
    said = refused("profile", "huge")
    assert said.startswith("medq profile: no profile 'huge'")
    assert "nano" in said
    assert refused("doctor", "huge").startswith("medq doctor: no profile 'huge'")


LAPTOP = doctor.Machine("cpu", "CPU, 8 cores", 32.0, 8, False, False)


def test_the_doctor_refuses_a_large_model_before_anything_is_loaded(profiled, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "this_machine", lambda: LAPTOP)
    monkeypatch.setattr(trials, "load_processor", lambda _: pytest.fail("loaded"))
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor", "internvl3-8b"])
    assert stop.value.code == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("verdict: internvl3-8b cannot run here: memory: needs a CUDA GPU")


def test_the_doctor_passes_nano(profiled, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "this_machine", lambda: LAPTOP)
    shutil.copytree(REPOSITORY / "models" / "base", profiled / "models" / "base")
    cli.main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    names = [line[6:20].strip() for line in lines[:-1]]
    assert names[-4:] == ["chat template", "forward pass", "training step", "speed"]
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1].startswith("verdict: nano is ready: ")


def test_metrics_are_read_by_name(tmp_path):
    for name in ("gate", "route"):
        tables.write_json({"n": name}, tmp_path / "metrics" / f"{name}.json")
    assert cli.read_metrics(tmp_path) == {"gate": {"n": "gate"}, "route": {"n": "route"}}
    assert json.loads((tmp_path / "metrics" / "gate.json").read_text()) == {"n": "gate"}
