"""The same training on one process and on two, and the launch files of profiles/accelerate.

`python -m tests.test_distributed FOLDER` is what each of the two processes runs.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from PIL import Image
from safetensors.torch import load_file

from medq_engine import adapter, nano
from medq_engine.descriptions import turns
from medq_engine.language import Finding
from medq_engine.mllm import Mllm, load
from medq_engine.training import Sample, Schedule, Trained, TrainingError, train

ROOT = Path(__file__).parents[1]
SIZE = 48
# Of four images a step, a process of two has a share of two, and sees one at a time.
SCHEDULE = Schedule(
    steps=4, batch=4, images_per_pass=1, turns=2, learning_rate=0.01, weight_decay=0.01, seed=1
)


def samples() -> list[Sample]:
    """Five images with a fault each; descriptions make their turns differ in length."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (5, SIZE, SIZE, 3), dtype=np.uint8)
    shown = [(), (Finding("aliasing", "mild"),), (Finding("blur", "severe"),)] * 2
    return [
        Sample(Image.fromarray(array), turns("mri", seen, rng), weight)
        for array, seen, weight in zip(pixels, shown, (1.0, 0.5, 1.0, 0.25, 1.0), strict=False)
    ]


def trained(base: Path, checkpoint: Path) -> tuple[Mllm, Trained]:
    """A fresh adapter, trained; a checkpoint of step 2 stays behind."""
    model = adapter.attach(load(base), 2, 4, ["vision", "language"], ["connector"], seed=1)
    return model, train(model, samples(), SCHEDULE, checkpoint, checkpoint_every=2)


def main(folder: Path) -> None:
    """What each process does; what it says of itself goes to rank-N.json."""
    rank = int(os.environ["RANK"])
    try:
        train(load(folder / "base"), samples(), replace(SCHEDULE, batch=3), folder / "odd.pt")
        refused = ""
    except TrainingError as error:
        refused = str(error)
    model, done = trained(folder / "base", folder / f"checkpoint-{rank}" / "run.pt")
    _, resumed = trained(folder / "base", folder / "checkpoint-0" / "run.pt")
    if done.main:
        adapter.save(model, folder / "two", done.weights)
    said = {
        "processes": PartialState().num_processes,
        "refused": refused,
        "main": done.main,
        "losses": done.losses,
        "resumed": resumed.losses,
        "same": all(torch.equal(done.weights[n], w) for n, w in resumed.weights.items()),
    }
    (folder / f"rank-{rank}.json").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def folder(build_nano, tmp_path_factory) -> Path:
    """The base, and what two processes made of it."""
    folder = tmp_path_factory.mktemp("distributed")
    nano.save(build_nano(0), folder / "base")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    done = subprocess.run(
        [*launch, "-m", "tests.test_distributed", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def said(folder) -> list[dict[str, object]]:
    """What the processes say of themselves, by rank."""
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_train_the_adapter_that_one_trains(folder, said, tmp_path):
    assert [one["processes"] for one in said] == [2, 2]
    model, done = trained(folder / "base", tmp_path / "run.pt")
    adapter.save(model, tmp_path / "one", done.weights)
    assert said[0]["losses"] == pytest.approx(done.losses, abs=1e-5)
    assert said[1]["losses"] == said[0]["losses"]
    name = "adapter_model.safetensors"
    one, two = load_file(tmp_path / "one" / name), load_file(folder / "two" / name)
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        assert torch.allclose(two[key], tensor, atol=1e-5), key
    moved = [key for key in one if "lora_B" in key and one[key].abs().max() > 1e-3]
    assert moved


def test_only_the_main_process_writes(folder, said):
    assert [one["main"] for one in said] == [True, False]
    assert (folder / "checkpoint-0" / "run.pt").exists()
    assert not (folder / "checkpoint-1").exists()


def test_two_processes_resume_to_the_same_bits(said):
    assert all(one["same"] for one in said)
    assert all(one["resumed"] == one["losses"] for one in said)


def test_a_batch_that_two_processes_cannot_share_is_refused(said):
    for one in said:
        assert "finetune.batch is 3, which 2 processes cannot share" in one["refused"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
