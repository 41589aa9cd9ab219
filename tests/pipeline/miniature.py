"""A repository with the real dvc.yaml files and stages, and everything in it made small."""

import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from medq_engine.rounds import with_state

ROOT = Path(__file__).parents[2]

# Enough for every stage to have something to do, and for the whole to take about a minute. The
# first batch has 30 tasks in 32 readings (half of 64): two tasks are gold, two are read twice.
MINIATURE = {
    "images": {"kind": "phantom", "size": 48, "fill_below": 8},
    "benchmark": {"records": {"dev": 30, "gate": 20, "test": 20}},
    "pool": {"images": 150, "shard_images": 100},
    "base": {
        "hidden": 40,
        "vision_layers": 2,
        "text_layers": 1,
        "phantoms": 128,
        "vision": {"steps": 4, "batch": 16, "learning_rate": 0.001},
        "words": {"steps": 6, "batch": 8, "turns": 2, "learning_rate": 0.001},
    },
    "base_exam": {"images": 10},
    "replay": {"images": 40},
    "model": {"threads": 1, "max_new_tokens": 8},
    "cluster": {"k_max": 6},
    "retrieve": {"threshold": 0.0, "budget": 64},
    "route": {"expert_share": 0.5, "gold_share": 0.0625, "double_share": 0.0625},
    "finetune": {"steps": 6, "steps_at": 20, "batch": 8, "turns": 2, "rank": 4},
    "quality_gate": {"resamples": 100},
}


def merge(into: dict, values: dict) -> None:
    """Overwrite leaves of a nested dict."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


@dataclass(frozen=True)
class Workshop:
    """A repository in a temporary folder, with a shell."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of its commands, which run this repository's code."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
            "MLFLOW_TRACKING_URI": "",
            "OMP_NUM_THREADS": "1",
        }

    def copy(self, root: Path) -> "Workshop":
        """The same repository once more, in a folder that is not there yet."""
        shutil.copytree(self.root, root, symlinks=True)
        return Workshop(root)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command there as a user would; its output comes back as text."""
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True
        )
        if check and done.returncode:
            raise AssertionError(f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def git(self, *words: str) -> str:
        """Output of a git command."""
        return self.run("git", *words).stdout.strip()

    def medq(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run medq from this repository's code."""
        return self.run(sys.executable, "-m", "medq_engine.cli", *words, check=check)

    def dvc(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run dvc."""
        return self.run(sys.executable, "-m", "dvc", *words, check=check)

    def repro(self, *targets: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run `dvc repro`."""
        return self.dvc("repro", *targets, check=check)

    def path(self, name: str) -> Path:
        """A path in the repository."""
        return self.root / name


def build(root: Path) -> Workshop:
    """The tracked files of this repository, made miniature and committed anew."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        made_by_rounds = ("models/base/", "metrics/", "docs/", "data/queue/r", "data/annotations/r")
        if name.endswith(".lock") or name.startswith(made_by_rounds) or not (ROOT / name).is_file():
            continue
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    yaml = YAML()
    params = yaml.load((root / "params.yaml").read_text(encoding="utf-8"))
    merge(params, MINIATURE)
    text = io.StringIO()
    yaml.dump(params | {"incumbent": "null", "history": "null"}, text)
    start = {"round": "1", "tag": "round-001", "incumbent": "null", "history": "null"}
    (root / "params.yaml").write_text(with_state(text.getvalue(), start), encoding="utf-8")
    shop = Workshop(root)
    shop.git("init", "--quiet", "--initial-branch=main")
    shop.git("config", "user.name", "Tester")
    shop.git("config", "user.email", "tester@localhost")
    shop.git("add", "--all")
    shop.git("commit", "--quiet", "-m", "A miniature")
    return shop
