"""What a benchmark or study ran on, for the page that quotes it."""

import platform
import subprocess
from pathlib import Path


def commit() -> str:
    """What the working tree is, as `git describe` says it."""
    words = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


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
