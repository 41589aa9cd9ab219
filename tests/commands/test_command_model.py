"""Profiles of known models, and the doctor."""

import shutil
from pathlib import Path

import pytest

from medq_engine import cli, doctor, rounds, trials
from tests.commands.typed import REPOSITORY, params, refused

LAPTOP = doctor.Machine("cpu", "CPU, 8 cores", 32.0, 8, False, False)


@pytest.fixture
def profiled(round_root, monkeypatch) -> Path:
    """The working directory: a round at its start, with the repository's profiles."""
    shutil.copytree(REPOSITORY / "profiles", round_root / "profiles")
    monkeypatch.chdir(round_root)
    return round_root


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
