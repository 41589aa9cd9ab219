"""A frozen vision tower sees each image once: its output is kept and played back.

Where no weight of the tower is trained, its output for an image never changes, and it is by far
the dearest part of a training step. What comes behind it (connector, language model) still runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers.utils import ModelOutput

from medq_engine.models.mllm import Mllm, Shown

Output = torch.Tensor | tuple | list | ModelOutput | None


def tower_of(mllm: Mllm) -> torch.nn.Module:
    """The vision tower of a model."""
    return mllm.base.model.get_submodule(mllm.family.tower)


def frozen(mllm: Mllm) -> bool:
    """True if training changes nothing in the vision tower."""
    return not any(parameter.requires_grad for parameter in tower_of(mllm).parameters())


@torch.no_grad()
def look(mllm: Mllm, shown: Shown) -> Output:
    """The tower's output for the images of one prompt, on the CPU."""
    seen: list[Output] = []
    # Copied at once: the model writes what its connector makes of them into the same object.
    hook = tower_of(mllm).register_forward_hook(
        lambda _module, _inputs, out: seen.append(_apply(out, lambda tensor: tensor.to("cpu")))
    )
    try:
        tensors = {name: tensor.to(mllm.device) for name, tensor in shown.tensors.items()}
        mllm.base.model.get_image_features(**tensors, return_dict=True)
    finally:
        hook.remove()
    (output,) = seen
    return output


@contextmanager
def replayed(mllm: Mllm, outputs: Sequence[Output]) -> Iterator[None]:
    """Within, the tower answers with these outputs, one for each prompt of the batch, laid end to
    end, whatever it is shown."""
    tower, together = tower_of(mllm), _join(outputs)
    tower.forward = lambda *_inputs, **_settings: _apply(together, lambda t: t.to(mllm.device))
    try:
        yield
    finally:
        del tower.forward


def size(output: Output) -> int:
    """Bytes that an output takes."""
    total = 0

    def add(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        total += tensor.nbytes
        return tensor

    _apply(output, add)
    return total


def _apply(output: Output, change: object) -> Output:
    """The same structure with every tensor changed."""
    if isinstance(output, torch.Tensor):
        return change(output)
    if isinstance(output, ModelOutput):
        return type(output)(**{name: _apply(value, change) for name, value in output.items()})
    if isinstance(output, tuple | list):
        return type(output)(_apply(value, change) for value in output)
    return output


def _join(outputs: Sequence[Output]) -> Output:
    """Several structures as one, tensors laid end to end."""
    first = outputs[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(list(outputs))
    if isinstance(first, ModelOutput):
        return type(first)(**{name: _join([o[name] for o in outputs]) for name in first})
    if isinstance(first, tuple | list):
        return type(first)(_join(list(values)) for values in zip(*outputs, strict=True))
    return first
