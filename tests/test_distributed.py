"""The same training on one process and on two, and the launch files of profiles/accelerate.

`python -m tests.test_distributed FOLDER [fsdp]` is what each of the two processes runs.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import DistributedType, FullyShardedDataParallelPlugin, PartialState
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import launch_command_parser
from accelerate.state import AcceleratorState
from accelerate.utils import patch_environment
from PIL import Image
from safetensors.torch import load_file
from torch.distributed.fsdp import StateDictType
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.distributed.tensor import DTensor

from medq_engine import adapter, nano
from medq_engine.descriptions import turns
from medq_engine.language import Finding
from medq_engine.models.families import ADAPTED
from medq_engine.models.mllm import Mllm, load
from medq_engine.training import Sample, Schedule, Trained, TrainingError, train
from medq_engine.vocabulary import Part

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "profiles" / "accelerate"
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


def trained(base: Path, checkpoint: Path, adapt: Sequence[Part] = ADAPTED) -> tuple[Mllm, Trained]:
    """A fresh adapter, trained; a checkpoint of step 2 stays behind."""
    model = adapter.attach(load(base), 2, 4, adapt, ["connector"], seed=1)
    return model, train(model, samples(), SCHEDULE, checkpoint, checkpoint_every=2)


def fsdp_plugin() -> FullyShardedDataParallelPlugin:
    """What profiles/accelerate/fsdp.yaml tells a process."""
    options = load_config_from_file(str(LAUNCH / "fsdp.yaml")).fsdp_config
    # As the launcher hands them on: `fsdp_version` is FSDP_VERSION.
    with patch_environment(**options):
        return FullyShardedDataParallelPlugin()


def shard(plugin: FullyShardedDataParallelPlugin) -> None:
    """Have Accelerate shard on CPUs too, for which its launcher has no word."""
    start = AcceleratorState.__init__

    def sharded(self: AcceleratorState, *args: object, **settings: object) -> None:
        start(self, *args, **settings)
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = plugin

    AcceleratorState.__init__ = sharded


def main_sharded(folder: Path) -> None:
    """What each process does under FSDP."""
    shard(fsdp_plugin())
    rank = os.environ["RANK"]
    model, done = trained(folder / "base", folder / "no-checkpoint.pt")
    if done.main:
        adapter.save(model, folder / "sharded", done.weights)
    _, frozen = trained(folder / "base", folder / "no-checkpoint.pt", ["language"])
    pieces = sum(isinstance(p, DTensor) for p in model.model.parameters())
    said = {"losses": done.losses, "frozen_tower": frozen.losses, "sharded": pieces}
    (folder / f"sharded-{rank}.json").write_text(json.dumps(said))


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


def launch(*words: str) -> None:
    """Run this file in two processes on the CPU."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    done = subprocess.run(
        [*command, "-m", "tests.test_distributed", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def both(folder: Path, name: str) -> list[dict[str, object]]:
    """What the processes say of themselves, by rank."""
    return [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in (0, 1)]


def assert_same_adapter(one: Path, other: Path) -> None:
    weights, others = (load_file(path / "adapter_model.safetensors") for path in (one, other))
    assert weights.keys() == others.keys()
    for key, tensor in weights.items():
        assert torch.allclose(others[key], tensor, atol=1e-5), key


@pytest.fixture(scope="module")
def folder(build_nano, tmp_path_factory) -> Path:
    """The base, the adapter that one process trains, and what two processes made."""
    folder = tmp_path_factory.mktemp("distributed")
    nano.save(build_nano(0), folder / "base")
    model, done = trained(folder / "base", folder / "one.pt")
    adapter.save(model, folder / "one", done.weights)
    (folder / "one.json").write_text(json.dumps(done.losses))
    launch(str(folder))
    return folder


@pytest.fixture
def losses(folder) -> list[float]:
    """Losses of one process."""
    return json.loads((folder / "one.json").read_text())


@pytest.fixture
def said(folder) -> list[dict[str, object]]:
    return both(folder, "rank")


def test_two_processes_train_the_adapter_that_one_trains(folder, said, losses):
    assert [one["processes"] for one in said] == [2, 2]
    assert said[0]["losses"] == pytest.approx(losses, abs=1e-5)
    assert said[1]["losses"] == said[0]["losses"]
    assert_same_adapter(folder / "one", folder / "two")
    weights = load_file(folder / "one" / "adapter_model.safetensors")
    assert any(tensor.abs().max() > 1e-3 for key, tensor in weights.items() if "lora_B" in key)


def test_weights_that_are_spread_over_processes_train_to_the_same_adapter(folder, losses, tmp_path):
    launch(str(folder), "fsdp")
    for one in both(folder, "sharded"):
        assert one["sharded"] > 0
        assert one["losses"] == pytest.approx(losses, abs=1e-5)
        _, frozen = trained(folder / "base", tmp_path / "frozen.pt", ["language"])
        assert one["frozen_tower"] == pytest.approx(frozen.losses, abs=1e-5)
    assert_same_adapter(folder / "one", folder / "sharded")


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


@pytest.mark.parametrize("name", ["ddp", "fsdp", "deepspeed-zero3"])
def test_accelerate_reads_the_launch_file(name):
    config = load_config_from_file(str(LAUNCH / f"{name}.yaml"))
    assert isinstance(config, ClusterConfig)
    kinds = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "deepspeed-zero3": "DEEPSPEED"}
    assert config.distributed_type == kinds[name]
    assert config.num_processes > 1
    # The launcher drops what it does not know.
    known = vars(launch_command_parser().parse_args(["x.py"]))
    assert {*config.fsdp_config, *config.deepspeed_config} <= known.keys()


def test_fsdp_shards_the_layers_that_a_model_names_and_gives_one_adapter():
    plugin = fsdp_plugin()
    assert plugin.fsdp_version == 2
    assert plugin.auto_wrap_policy is transformer_auto_wrap_policy
    assert plugin.transformer_cls_names_to_wrap is None
    assert plugin.state_dict_type == StateDictType.FULL_STATE_DICT
    # Our own loading and our own checkpointing: Accelerate's must stay out of the way.
    assert not plugin.cpu_ram_efficient_loading
    assert not plugin.activation_checkpointing
    assert load_config_from_file(str(LAUNCH / "fsdp.yaml")).mixed_precision == "bf16"


def test_deepspeed_is_told_what_it_would_take_from_a_data_loader():
    given = load_config_from_file(str(LAUNCH / "deepspeed-zero3.yaml")).deepspeed_config
    config = json.loads((ROOT / given["deepspeed_config_file"]).read_text())
    assert config["train_micro_batch_size_per_gpu"] == config["gradient_accumulation_steps"] == 1
    assert config["gradient_clipping"] == 1.0
    zero = config["zero_optimization"]
    assert zero["stage"] == 3
    assert zero["stage3_gather_16bit_weights_on_model_save"]


if __name__ == "__main__":
    (main_sharded if "fsdp" in sys.argv[2:] else main)(Path(sys.argv[1]))
