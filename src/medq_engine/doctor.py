"""medq doctor: can the model that params.yaml names run on this machine?

Checks go from cheap to dear, and what is dear (loading the model, a forward pass, a training step:
`trials`) is left out once something says that it cannot work. Nothing is downloaded, and no server
is asked for anything that costs.
"""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import openai
import psutil
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from medq_engine import estimates
from medq_engine.config import ENDPOINT, Endpoint, Params, load_params, remote
from medq_engine.profiles import Device, Profile, load, of_model, overlaid

SECONDS = 20.0
"""How long an endpoint may take to say that it is there."""
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's: what was looked at, how it is, and what to do if it is not well."""

    name: str
    level: Literal["ok", "warn", "FAIL"]
    says: str

    def __str__(self) -> str:
        return f"{self.level:<5} {self.name:<14} {self.says}"


@dataclass(frozen=True)
class Machine:
    """What the model would run on.

    Attributes:
        device: Where models go.
        name: Of the device, for people.
        memory: Free memory of the device, GB.
        cores: CPU cores that this process may use.
        bfloat16: The device computes in it natively.
        bitsandbytes: The package for 4-bit weights is installed.
    """

    device: Device
    name: str
    memory: float
    cores: int
    bfloat16: bool
    bitsandbytes: bool


Trial = Callable[[Params], str]
"""A trial run: what it found, or an exception."""


def this_machine() -> Machine:
    """The machine at hand, as it is now."""
    cuda = torch.cuda.is_available()
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    if cuda:
        free, name = torch.cuda.mem_get_info()[0], torch.cuda.get_device_name()
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        free, name = psutil.virtual_memory().available, f"CPU, {cores} cores"
        able = torch.cpu.get_capabilities()
        native = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    packages = importlib.util.find_spec("bitsandbytes") is not None
    return Machine("cuda" if cuda else "cpu", name, free / 1e9, cores, native, packages)


def patient(root: Path, name: str | None) -> tuple[str, Params, Profile | None]:
    """What is examined: its name, its params, and its profile where one is known.

    Args:
        root: Repository with params.yaml and profiles/.
        name: Profile to lay over params.yaml in memory; None takes params.yaml as it is.

    Raises:
        ProfileError: No such profile, or it does not fit.
        ParamsError: params.yaml is faulty.
    """
    path, folder = root / "params.yaml", root / "profiles"
    if name is not None:
        profile = load(folder, name)
        return name, overlaid(path, profile)[1], profile
    params = load_params(path)
    known = of_model(folder, params.model.id)
    return (known[0], params, known[1]) if known else (params.model.id, params, None)


def examine(
    params: Params, profile: Profile | None, machine: Machine, trials: Mapping[str, Trial]
) -> Iterator[Check]:
    """All checks in order; the trials run, one at a time, only if nothing failed before."""
    servers = [check_endpoint(name, params.endpoints[name]) for name in asked(params)]
    yield from servers
    if remote(params.model):
        yield Check("fine-tuning", "warn", "a server is evaluated only; finetune needs weights")
        return
    light = [
        check_memory(machine, params, profile),
        check_threads(machine, params.model.threads, os.environ.get("OMP_NUM_THREADS")),
        check_dtype(machine, params.model.dtype),
        check_quantize(machine, params.model.quantize),
        check_weights(params.model.id),
    ]
    yield from light
    if failed([*servers, *light]):
        return
    for name, trial in trials.items():
        try:
            yield Check(name, "ok", trial(params))
        except Exception as error:  # whatever goes wrong in there is what the doctor looks for
            yield Check(name, "FAIL", f"{type(error).__name__}: {error}")
            return


def failed(checks: Sequence[Check]) -> list[Check]:
    """The checks that stand in the way."""
    return [check for check in checks if check.level == "FAIL"]


def verdict(name: str, checks: Sequence[Check]) -> str:
    """The last line: ready, or the first thing that stands in the way."""
    for check in failed(checks):
        return f"verdict: {name} cannot run here: {check.name}: {check.says.splitlines()[0]}"
    warnings = sum(check.level == "warn" for check in checks)
    seen = f"{len(checks)} checks, {warnings} of them with a warning"
    return f"verdict: {name} is ready: {seen}"


def check_memory(machine: Machine, params: Params, profile: Profile | None) -> Check:
    """The estimated peak of the params at hand against what the device has free."""
    here = f"here: {machine.name}, {machine.memory:.0f} GB free"
    if profile is None:
        unknown = f"no profile tells the shape of {params.model.id}, so nothing is estimated"
        return Check("memory", "warn", f"{unknown}; {here}")
    model, finetune = params.model, params.finetune
    peaks = {
        "evaluate": estimates.evaluate_bytes(profile.shape, model) / 1e9,
        "finetune": estimates.finetune_bytes(profile.shape, model, finetune) / 1e9,
    }
    takes = ", ".join(f"{stage} about {peak:.3g} GB" for stage, peak in peaks.items())
    if profile.needs.device == "cuda" and machine.device == "cpu":
        gpu = f"needs a CUDA GPU ({takes}; estimates); {here}"
        other = f"run it on one, or ask a server that does (model.id: {ENDPOINT}NAME)"
        return Check("memory", "FAIL", f"{gpu}; {other}")
    if max(peaks.values()) > machine.memory:
        lower = "lower model.images_per_batch and finetune.images_per_pass"
        if not finetune.gradient_checkpointing:
            lower += ", set finetune.gradient_checkpointing"
        if machine.device == "cuda" and model.quantize is None:
            lower += ", or set model.quantize: 4bit"
        return Check("memory", "FAIL", f"{takes} (estimates); {here}; {lower}")
    return Check("memory", "ok", f"{takes} (estimates); {here}")


def check_threads(machine: Machine, threads: int, environment: str | None) -> Check:
    """More threads than cores make each other wait: a loss of up to ten times."""
    asks = {"model.threads": str(threads), "OMP_NUM_THREADS": environment or ""}
    for name, value in asks.items():
        if value.isdigit() and int(value) > machine.cores:
            says = f"{name} is {value}, but {machine.cores} cores are here: set it to that or less"
            return Check("threads", "warn", says)
    return Check("threads", "ok", f"{threads} of {machine.cores} cores")


def check_dtype(machine: Machine, dtype: str) -> Check:
    """Whether the device computes in the weights' type, and without emulation."""
    if dtype == "float32" or (dtype == "bfloat16" and machine.bfloat16):
        return Check("dtype", "ok", dtype)
    if machine.device == "cpu":
        return Check("dtype", "warn", f"{dtype} is slow on this CPU: float32 is faster")
    if dtype == "bfloat16":
        return Check("dtype", "FAIL", f"{machine.name} has no bfloat16: set model.dtype: float32")
    return Check("dtype", "warn", "float16 overflows in fine-tuning: prefer bfloat16")


def check_quantize(machine: Machine, quantize: str | None) -> Check:
    """4-bit weights need a CUDA GPU and a package."""
    if quantize is None:
        return Check("quantize", "ok", "off")
    if machine.device != "cuda":
        return Check("quantize", "FAIL", f"{quantize} needs a CUDA GPU: set model.quantize: null")
    if not machine.bitsandbytes:
        return Check("quantize", "FAIL", f"{quantize} needs `pip install bitsandbytes`")
    return Check("quantize", "ok", quantize)


def check_weights(model_id: str) -> Check:
    """Whether the model is on the disk, whole, and in safetensors; nothing is fetched."""
    folder = Path(model_id)
    if not folder.is_dir():
        try:
            found = snapshot_download(
                model_id, local_files_only=True, allow_patterns=["*.json", "*.safetensors"]
            )
        except (LocalEntryNotFoundError, HFValidationError):
            fetch = f"`hf download {model_id}` fetches it (nano: `dvc repro` makes it)"
            absent = f"{model_id}: no folder, and not in the hub's cache"
            return Check("weights", "FAIL", f"{absent}: {fetch}")
        folder = Path(found)
    index = folder / INDEX
    wanted = {"config.json", WEIGHTS}
    if index.exists():
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        wanted = {"config.json", *shards}
    missing = sorted(name for name in wanted if not (folder / name).exists())
    if missing == [WEIGHTS] and list(folder.glob("*.bin")):
        pickled = "pickled weights can run code and are refused: convert them to safetensors"
        return Check("weights", "FAIL", f"{folder}: {pickled}")
    if missing:
        return Check("weights", "FAIL", f"{folder} lacks {', '.join(missing)}: fetch it again")
    size = sum((folder / name).stat().st_size for name in wanted) / 1e9
    return Check("weights", "ok", f"safetensors, {size:.3g} GB, in {folder}")


def asked(params: Params) -> list[str]:
    """Names of the endpoints that the params use, each once."""
    model = params.model.id.removeprefix(ENDPOINT) if remote(params.model) else None
    used = (model, params.drafts.endpoint, params.judge.endpoint)
    return list(dict.fromkeys(name for name in used if name is not None))


def check_endpoint(name: str, settings: Endpoint) -> Check:
    """Whether a server answers, takes the key and has the model; its list of models is free."""
    label = f"{ENDPOINT}{name}"
    key = os.environ.get(settings.key, "") if settings.key else "none"
    if not key:
        return Check(label, "FAIL", f"the environment variable {settings.key} is not set")
    client = openai.OpenAI(
        base_url=settings.url, api_key=key, timeout=min(settings.timeout, SECONDS), max_retries=0
    )
    try:
        models = [model.id for model in client.models.list()]
    except (openai.AuthenticationError, openai.PermissionDeniedError):
        return Check(label, "FAIL", f"{settings.url} refuses the key in {settings.key}")
    except openai.NotFoundError:
        return Check(label, "warn", f"{settings.url} is there, but lists no models")
    except openai.APIConnectionError:
        return Check(label, "FAIL", f"{settings.url} cannot be reached: is the server up?")
    except openai.OpenAIError as error:
        # Only the kind: a server's message may hold what it was sent.
        return Check(label, "FAIL", f"{settings.url} gives {type(error).__name__}")
    if settings.model not in models:
        has = ", ".join(models[:5]) or "none"
        return Check(label, "warn", f"{settings.url} does not list {settings.model}; it has {has}")
    return Check(label, "ok", f"{settings.url} has {settings.model}")
