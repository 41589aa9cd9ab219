"""A small git and DVC repository with closed rounds, without running one."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

from ruamel.yaml import YAML

from medq_engine.closed import TEST
from medq_engine.rounds import bytes_md5
from tests.made_rounds import BASE, DAY, FIRST_DAY, PUBLISHED, SPLITS, closed


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
        self.published(PUBLISHED["rows"])
        self.benchmark(SPLITS["test"])

    def git(self, *words: str, day: int = 1) -> None:
        when = f"{FIRST_DAY + DAY * (day - 1)} +0000"
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        subprocess.run(
            ["git", *words], cwd=self.root, check=True, capture_output=True, env=os.environ | dates
        )

    def write(self, path: str, content: object) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content))

    def published(self, rows: list[dict[str, object]], **more: str) -> None:
        self.write("data/baselines/table.json", {**PUBLISHED, "rows": rows, **more})

    def benchmark(self, test_md5: str) -> None:
        self.test_md5 = test_md5
        outs = [{"path": TEST, "md5": test_md5}]
        self.yaml("data/dvc.lock", {"schema": "2.0", "stages": {"benchmark": {"outs": outs}}})

    def yaml(self, path: str, content: object) -> None:
        with (self.root / path).open("w") as stream:
            YAML(typ="safe").dump(content, stream)

    def cache(self, content: bytes) -> Path:
        """Where DVC's cache keeps content."""
        name = bytes_md5(content)
        return self.root / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]

    def cached(self, path: str, content: bytes) -> dict[str, object]:
        """An output in the DVC cache: its entry of dvc.lock."""
        target = self.cache(content)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return {"path": path, "hash": "md5", "md5": bytes_md5(content), "size": len(content)}

    def cached_folder(self, path: str, files: dict[str, bytes]) -> dict[str, object]:
        """The same of a folder of files, which the cache keeps under its list's md5."""
        listed = [
            {"md5": self.cached(name, content)["md5"], "relpath": name}
            for name, content in sorted(files.items())
        ]
        data = json.dumps(listed).encode()
        target = self.cache(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(f"{target.name}.dir").write_bytes(data)
        return {"path": path, "hash": "md5", "md5": f"{bytes_md5(data)}.dir", "nfiles": len(files)}

    def close(self, verdict: str = "pass", gain: float = 0.01) -> str:
        """Commit and tag a round; its tag."""
        self.number += 1
        made = closed(
            self.number, verdict, self.force, gain, self.incumbent, people=(self.annotator,)
        )
        made = replace(made, data={**made.data, TEST: made.data[TEST] | {"md5": self.test_md5}})
        self.force = made.gate["test_since_base"]["challenger"]
        for name, metrics in made.metrics.items():
            self.write(f"metrics/{name}.json", metrics)
        self.yaml("params.yaml", made.params)
        outs = [
            self.cached(f"reports/{made.tag}.html", f"report of {made.tag}".encode()),
            self.cached("reports/figures/forest.png", f"forest of {made.tag}".encode()),
            self.cached_folder(
                "reports/figures/confusion", {"ct.png": f"confusion of {made.tag}".encode()}
            ),
        ]
        deps = [{"path": path, **entry} for path, entry in made.data.items()]
        stage = {"cmd": "true", "outs": [entry["path"] for entry in outs]}
        self.yaml("dvc.yaml", {"stages": {"quality-gate": stage}})
        done = {"cmd": "true", "deps": deps, "outs": outs}
        self.yaml("dvc.lock", {"schema": "2.0", "stages": {"quality-gate": done}})
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", made.tag, day=self.number)
        self.git("tag", made.tag)
        if made.passed:
            self.incumbent = {"round": self.number, "rev": "r" * 40, "md5": "m" * 32}
        return made.tag
