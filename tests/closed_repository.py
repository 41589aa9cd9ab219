"""A small git and DVC repository with closed rounds, without running one."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

SPLITS = {name: f"{place}" * 32 + ".dir" for place, name in enumerate(("dev", "gate", "test"))}
BASE = 0.5
GPT, EXPERT = 0.6, 0.95


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def difference(incumbent: float, challenger: float) -> dict[str, float]:
    value = challenger - incumbent
    bounds = {"low": value - 0.01, "high": value + 0.01}
    return {"incumbent": incumbent, "challenger": challenger, "value": value} | {
        **bounds,
        "floor": bounds["low"],
        "ceiling": bounds["high"],
        "items": 100,
        "clusters": 10,
    }


def scores(accuracy: float) -> dict[str, object]:
    return {
        "accuracy": accuracy,
        "accuracy_by": {
            "question_type": {"yes-no": accuracy + 0.1, "what": accuracy - 0.1, "how": accuracy},
            "modality": {"ct": accuracy, "mri": accuracy + 0.05},
            "origin": {"phantom": accuracy},
        },
        "calibration": {"ece": 0.2, "brier": 0.3, "auroc": 0.6},
        "description": {"overall": 4.0},
        "items": 100,
    }


def compared(incumbent: float, challenger: float) -> dict[str, object]:
    slices = {"ct": difference(incumbent, challenger), "mri": difference(incumbent, challenger)}
    return {
        "incumbent": scores(incumbent),
        "challenger": scores(challenger),
        "overall": difference(incumbent, challenger),
        "modality": slices,
        "question_type": {"yes-no": difference(incumbent, challenger)},
    }


class Repository:
    """Rounds are closed one after the other; each challenger is one point better than the last."""

    def __init__(self, root: Path, annotator: str = "expert (simulated)") -> None:
        self.root, self.annotator = root, annotator
        self.number, self.force, self.incumbent = 0, BASE, None
        root.mkdir(exist_ok=True)
        self.git("init", "--quiet")
        self.git("config", "user.name", "tester")
        self.git("config", "user.email", "tester@example.org")
        self.write(".dvc/config", "")
        self.write(".gitignore", "/reports/\n/mlflow.db\n/mlartifacts/\n/.dvc/cache\n/.dvc/tmp\n")
        self.published([{"model": "GPT-4o", "yes_no": 78.0, "overall": 64.0}])
        self.benchmark(SPLITS["test"])

    def git(self, *words: str, seconds: int = 0) -> None:
        when = f"{1_700_000_000 + seconds} +0000"
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        subprocess.run(
            ["git", *words], cwd=self.root, check=True, capture_output=True, env=os.environ | dates
        )

    def write(self, path: str, content: object) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content))

    def published(self, rows: list[dict[str, object]], **more: str) -> None:
        table = {"benchmark": "Elsewhere", "source": "a paper", "rows": rows, **more}
        self.write("data/baselines/table.json", table)

    def benchmark(self, test_md5: str) -> None:
        self.test_md5 = test_md5
        outs = [{"path": "data/benchmark/test", "md5": test_md5}]
        self.yaml("data/dvc.lock", {"schema": "2.0", "stages": {"benchmark": {"outs": outs}}})

    def yaml(self, path: str, content: object) -> None:
        with (self.root / path).open("w") as stream:
            YAML(typ="safe").dump(content, stream)

    def cached(self, path: str, content: bytes) -> dict[str, object]:
        """An output in the DVC cache: its entry of dvc.lock."""
        name = md5(content)
        target = self.root / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return {"path": path, "hash": "md5", "md5": name, "size": len(content)}

    def close(self, verdict: str = "pass", gain: float = 0.01) -> str:
        """Commit and tag a round; its tag."""
        self.number += 1
        number, tag = self.number, f"round-{self.number:03d}"
        before, after = self.force, self.force + gain
        self.force = after if verdict == "pass" else before
        self.write(
            "metrics/gate.json",
            {
                "verdict": verdict,
                "reason": "because",
                "gate": compared(before, after),
                "test": compared(before, after),
                "test_since_base": difference(BASE, self.force)
                | {"origin": {"phantom": difference(BASE, self.force)}},
            },
        )
        self.write(
            "metrics/annotate_import.json",
            {
                "annotators": {self.annotator: 20},
                "by_route": {"expert": 20, "draft": 5, "model": 75},
                "round": 100,
                "total": 100 * number,
                "expert_minutes_total": 15.0 * number,
            },
        )
        self.write("metrics/finetune.json", {"steps": 10, "trainable_parameters": 1000})
        simulated = {
            "simulated GPT-4o": {"accuracy": GPT},
            "simulated expert": {"accuracy": EXPERT},
        }
        self.write("metrics/baselines.json", simulated)
        splits = {s: {"images": {"phantom": 7}, "items": {"perception": 21}} for s in SPLITS}
        self.write("metrics/benchmark.json", {"splits": splits})
        self.yaml(
            "params.yaml",
            {
                "round": number,
                "tag": tag,
                "incumbent": self.incumbent,
                "model": {"id": "models/base"},
                "drafts": {"endpoint": None},
                "quality_gate": {"confidence": 0.95, "margin": 0.05},
                "finetune": {
                    "replay": 0.5,
                    "route_weight": {"expert": 1.0, "draft": 0.5, "model": 0.0},
                },
            },
        )
        outs = [
            self.cached(f"reports/{tag}.html", f"report of {tag}".encode()),
            self.cached("reports/figures/forest.png", f"forest of {tag}".encode()),
        ]
        deps = [{"path": f"data/benchmark/{s}", "md5": SPLITS[s]} for s in ("dev", "gate")]
        deps.append({"path": "data/benchmark/test", "md5": self.test_md5, "size": 9, "nfiles": 2})
        deps += [
            {"path": "models/challenger", "md5": md5(tag.encode()) + ".dir"},
            {"path": "data/pool", "md5": "a" * 32 + ".dir"},
            {"path": "data/round/training.parquet", "md5": md5(f"turns {tag}".encode())},
        ]
        stage = {"cmd": "true", "outs": [entry["path"] for entry in outs]}
        self.yaml("dvc.yaml", {"stages": {"quality-gate": stage}})
        done = {"cmd": "true", "deps": deps, "outs": outs}
        self.yaml("dvc.lock", {"schema": "2.0", "stages": {"quality-gate": done}})
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", tag, seconds=86400 * number)
        self.git("tag", tag)
        if verdict == "pass":
            self.incumbent = {"round": number, "rev": "r" * 40, "md5": "m" * 32}
        return tag
