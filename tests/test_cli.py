"""Parsing, errors in one line, and the process; each command is tested beside its code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medq_engine import cli
from tests.commands.typed import refused


@pytest.mark.parametrize("words", [[], ["open"]])
def test_an_unknown_command_is_told_what_there_is(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert "usage: medq" in capsys.readouterr().err


def test_the_overview_names_every_command_and_no_other(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    usage = capsys.readouterr().out
    commands = usage.partition("{")[2].partition("}")[0].split(",")
    listed = [line.split()[1] for line in cli.__doc__.splitlines() if line.startswith("medq ")]
    assert sorted(listed) == sorted(commands)


NO_BATCH = "data/queue/round-001.jsonl is not there yet: run `dvc repro route`"
TOO_EARLY = {
    "simulate-expert": NO_BATCH,
    "review": NO_BATCH,
    "batch": NO_BATCH,
    "batch --summary": NO_BATCH,
    "export-batch --format csv --out out": NO_BATCH,
    "import-batch answers.csv": NO_BATCH,
    "close": "the round has no verdict yet: run `dvc repro`",
    "next": "the round has no verdict yet: run `dvc repro` and `medq close`",
    "history": "no round is closed yet: `medq close` closes one, and makes the page",
}


@pytest.mark.parametrize("typed", TOO_EARLY)
def test_what_comes_too_early_is_refused_in_one_line(round_root, monkeypatch, typed):
    monkeypatch.chdir(round_root)
    command, *words = typed.split()
    said = refused(command, *words)
    assert said.startswith(f"medq {command}: ")
    assert said.endswith(TOO_EARLY[typed])
    assert "\n" not in said
    assert [path.name for path in round_root.iterdir() if path.name != ".git"] == ["params.yaml"]


def test_a_faulty_params_file_is_named_with_its_key(round_root, monkeypatch):
    monkeypatch.chdir(round_root)
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("gamma: 0.6", "gamma: 6"), encoding="utf-8")
    assert "evaluate.gamma" in refused("status")


def test_a_file_that_is_no_json_is_no_traceback(round_root, monkeypatch):
    monkeypatch.chdir(round_root)
    Path("metrics").mkdir()
    Path("metrics/gate.json").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    assert refused("close").startswith("medq close: ")


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
