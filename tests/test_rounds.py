import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from medq_engine import rounds
from medq_engine.config import load_params
from medq_engine.rounds import RoundError, bytes_md5, git

MD5S = {"challenger": "c" * 32, "labels": "d" * 32}


def write(root: Path, name: str, text: str = "x\n") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def done(round_root) -> Path:
    """A repository whose round 1 has run and is not closed."""
    for name in ("dvc.lock", "data/dvc.lock", "models/dvc.lock", "metrics/gate.json"):
        write(round_root, name)
    for folder in ("queue", "annotations"):
        write(round_root, f"data/{folder}/round-001.jsonl")
    return round_root


@pytest.fixture
def closed(done) -> Path:
    rounds.close(done, "round-001", "round-001: pass")
    return done


def test_a_clean_tree_is_neither_changed_nor_closed(round_root):
    now = rounds.state(round_root, "round-001")
    assert (now.stale, now.foreign, now.changed, now.closed) == ((), (), (), False)


def test_the_rounds_own_files_are_told_from_foreign_ones(done, stale):
    stale |= {"finetune": [], "cluster": []}
    for name in ("src/new.py", "metrics.txt", "data/queue/round-002.jsonl", "data/dvc.lock.bak"):
        write(done, name)
    now = rounds.state(done, "round-001")
    assert set(now.foreign) == {
        "src/new.py",
        "metrics.txt",
        "data/queue/round-002.jsonl",
        "data/dvc.lock.bak",
    }
    assert set(now.changed) == {
        "dvc.lock",
        "data/dvc.lock",
        "models/dvc.lock",
        "metrics/gate.json",
        "data/queue/round-001.jsonl",
        "data/annotations/round-001.jsonl",
    }
    assert now.stale == ("cluster", "finetune")


def test_a_changed_tracked_file_is_seen_whole_by_name(done):
    rounds.close(done, "round-001", "M")
    write(done, "dvc.lock", "another\n")
    assert rounds.state(done, "round-001").changed == ("dvc.lock",)
    assert not rounds.state(done, "round-001").closed


def test_closing_commits_the_rounds_files_and_tags_them(done):
    before = git(done, "rev-parse", "HEAD")
    commit = rounds.close(done, "round-001", "round-001: pass, better")
    assert git(done, "rev-parse", "HEAD") == git(done, "rev-parse", "round-001") == commit
    assert git(done, "rev-parse", "HEAD^") == before
    assert git(done, "log", "-1", "--format=%s") == "round-001: pass, better"
    assert git(done, "status", "--porcelain") == ""
    assert rounds.state(done, "round-001").closed
    assert "data/annotations/round-001.jsonl" in git(done, "ls-files").splitlines()


def test_closing_twice_changes_nothing(closed):
    head = git(closed, "rev-parse", "HEAD")
    assert rounds.close(closed, "round-001", "again") == head
    assert git(closed, "rev-parse", "HEAD") == head
    assert git(closed, "tag", "--list") == "round-001"


def test_a_round_that_is_committed_by_hand_is_tagged_only(done):
    git(done, "add", "--all")
    git(done, "commit", "-q", "-m", "By hand")
    head = git(done, "rev-parse", "HEAD")
    assert rounds.close(done, "round-001", "M") == head
    assert git(done, "tag", "--points-at", head) == "round-001"


def test_foreign_changes_are_refused_and_named_and_nothing_is_committed(done):
    before = git(done, "rev-parse", "HEAD")
    write(done, "notes.txt")
    write(done, "src/medq_engine/new.py")
    with pytest.raises(RoundError, match=r"notes\.txt, src/medq_engine/new\.py"):
        rounds.close(done, "round-001", "M")
    assert git(done, "rev-parse", "HEAD") == before
    assert git(done, "tag", "--list") == ""


def test_a_stale_stage_is_refused_and_named(done, stale):
    stale["quality-gate"] = [{"changed deps": {}}]
    with pytest.raises(RoundError, match=r"stale: quality-gate\nRun `dvc repro`"):
        rounds.close(done, "round-001", "M")
    assert git(done, "tag", "--list") == ""


def test_a_closed_round_is_not_rewritten(closed):
    tagged = git(closed, "rev-parse", "round-001")
    write(closed, "metrics/gate.json", "another\n")
    with pytest.raises(RoundError, match="tag round-001 exists on another commit"):
        rounds.close(closed, "round-001", "M")
    assert git(closed, "rev-parse", "round-001") == tagged
    assert git(closed, "rev-parse", "HEAD") == tagged


def test_the_tag_of_a_later_commit_is_refused(closed):
    write(closed, "README.md")
    git(closed, "add", "--all")
    git(closed, "commit", "-q", "-m", "Later")
    with pytest.raises(RoundError, match="exists on another commit"):
        rounds.close(closed, "round-001", "M")


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive"])
def test_the_challenger_is_the_next_incumbent_only_on_pass(closed, verdict):
    head = git(closed, "rev-parse", "HEAD")
    assert rounds.start_next(closed, {"verdict": verdict}, MD5S) == "round-002"
    params = load_params(closed / "params.yaml")
    assert (params.round, params.tag) == (2, "round-002")
    assert (params.history.rev, params.history.md5) == (head, MD5S["labels"])
    if verdict == "pass":
        incumbent = params.incumbent
        assert (incumbent.round, incumbent.rev, incumbent.md5) == (1, head, MD5S["challenger"])
    else:
        assert params.incumbent is None


def test_an_incumbent_stays_in_force_until_a_challenger_passes(closed):
    def following(verdict: str, tag: str):
        rounds.start_next(closed, {"verdict": verdict}, MD5S)
        rounds.close(closed, tag, tag)
        return load_params(closed / "params.yaml")

    second = following("pass", "round-002")
    third = following("fail", "round-003")
    assert third.incumbent == second.incumbent
    assert third.history.rev == git(closed, "rev-parse", "round-002") != second.history.rev
    assert following("pass", "round-004").incumbent.round == 3


def test_the_next_round_keeps_comments_and_all_other_values(closed):
    def read() -> tuple[dict[str, object], list[str]]:
        text = (closed / "params.yaml").read_text(encoding="utf-8")
        comments = [line.split("# ", 1)[1] for line in text.splitlines() if "# " in line]
        return YAML(typ="safe", pure=True).load(text), comments

    before, comments = read()
    rounds.start_next(closed, {"verdict": "pass"}, MD5S)
    after, kept = read()
    assert kept == comments
    assert len(comments) > 20
    state = {"round", "tag", "incumbent", "history"}
    assert {k: v for k, v in after.items() if k not in state} == {
        k: v for k, v in before.items() if k not in state
    }
    assert list(after) == list(before)


HAND_WRITTEN = """\
# The state of the round.
round: 1
tag: round-001
incumbent: null # the adapter in force
history: null # labels so far

faults:
  taught:
    - blur
records: { dev: 300, gate: 400 } # images
"""


def test_the_next_round_leaves_hand_written_lines_as_they_are(done):
    write(done, "params.yaml", HAND_WRITTEN)
    rounds.close(done, "round-001", "M")
    rounds.start_next(done, {"verdict": "pass"}, MD5S)
    after = (done / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert after[-4:] == HAND_WRITTEN.splitlines()[-4:]


def test_params_yaml_is_all_that_the_next_round_changes(closed):
    rounds.start_next(closed, {"verdict": "pass"}, MD5S)
    assert git(closed, "status", "--porcelain") == " M params.yaml"
    changed = git(closed, "diff", "--numstat").split("\t")
    # params.yaml is written as YAML writes it, so that only the four lines of the state differ.
    assert int(changed[1]) == 4


def test_the_next_round_waits_for_the_close(done):
    before = (done / "params.yaml").read_text(encoding="utf-8")
    with pytest.raises(RoundError, match="round-001 is not closed: run `medq close`"):
        rounds.start_next(done, {"verdict": "pass"}, MD5S)
    assert (done / "params.yaml").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("fault", ["dirty", "stale"])
def test_the_next_round_refuses_a_dirty_or_stale_tree(closed, stale, fault):
    if fault == "dirty":
        write(closed, "notes.txt")
    else:
        stale["notes.txt"] = []
    with pytest.raises(RoundError, match=r"notes\.txt"):
        rounds.start_next(closed, {"verdict": "pass"}, MD5S)
    assert load_params(closed / "params.yaml").round == 1


def test_a_failed_command_says_what_it_printed(git_root):
    with pytest.raises(RoundError, match=r"`git rev-parse --verify nowhere` failed:\nfatal"):
        git(git_root, "rev-parse", "--verify", "nowhere")


def test_a_text_file_is_read_as_it_was_committed(closed, monkeypatch):
    write(closed, "metrics/gate.json", "later\n")
    monkeypatch.chdir(closed)
    assert rounds.committed(Path("metrics/gate.json"), "round-001") == "x"


@pytest.mark.parametrize(
    ("name", "rev"), [("metrics/none.json", "round-001"), ("metrics/gate.json", "nowhere")]
)
def test_a_file_that_was_never_committed_is_named(closed, monkeypatch, name, rev):
    monkeypatch.chdir(closed)
    with pytest.raises(RoundError, match=f"`git show {rev}:{name}` failed"):
        rounds.committed(Path(name), rev)


def test_content_is_named_as_dvc_names_it():
    assert bytes_md5(b"") == "d41d8cd98f00b204e9800998ecf8427e"


def test_stale_stages_are_read_from_dvc_itself(git_root):
    def dvc(*words: str) -> None:
        command = [sys.executable, "-m", "dvc", *words, "-q"]
        subprocess.run(command, cwd=git_root, check=True, capture_output=True)

    dvc("init")
    git(git_root, "commit", "-q", "-m", "Start")
    assert rounds.state(git_root, "round-001").stale == ()
    write(git_root, "dvc.yaml", "stages: {make: {cmd: touch out, outs: [out]}}\n")
    assert rounds.state(git_root, "round-001").stale == ("make",)
