"""The commit that a study's page names."""

import subprocess

import pytest

from pipeline import machine


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A clone with one commit of code and of locked stages."""
    for name in ("src/code.py", "data/dvc.lock", "docs/page.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_clean_clone_is_its_commit(repository):
    found = machine.commit()
    assert found
    assert "dirty" not in found


@pytest.mark.parametrize("name", ["data/dvc.lock", "docs/page.md", "docs/new.json", "dvc.lock"])
def test_what_a_study_writes_leaves_it_clean(repository, name):
    (repository / name).write_text("second")
    assert "dirty" not in machine.commit()


@pytest.mark.parametrize("name", ["src/code.py", "src/new.py", "params.yaml"])
def test_other_code_or_params_are_dirty(repository, name):
    (repository / name).write_text("second")
    assert machine.commit().endswith("-dirty")
