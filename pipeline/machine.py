"""What a benchmark or study ran on, for the page that quotes it."""

import platform
import subprocess
from pathlib import Path

# What `dvc repro` and the studies themselves write says nothing about what was run.
WRITTEN = ("*dvc.lock", "metrics", "docs")


def commit() -> str:
    """The commit, with `-dirty` if what is run (code, params, inputs) is not what it holds."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in WRITTEN))
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def described() -> str:
    """Processor, cores, threads, torch and commit, on one line."""
    import torch  # here: the commit alone should not wait for it

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{names[0] if names else platform.processor()}, {len(names)} cores, {device}; "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; commit {commit()}"
    )
