"""Profiles: for a known model, the params that suit it, the machine it needs, and its shape.

A profile is a YAML file of three blocks. `params` is an overlay of params.yaml (blocks `model` and
`finetune`), `needs` is the machine, `shape` holds the numbers that `estimates` derives memory and
time from.
"""

import difflib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML, MappingNode, YAMLError

from medq_engine.config import STRICT, Params, ParamsError, Positive, load_params
from medq_engine.errors import MedqError
from medq_engine.tables import replace

Device = Literal["cpu", "cuda"]
Block = Literal["model", "finetune"]


class ProfileError(MedqError):
    """A profile is unknown, faulty or does not fit params.yaml; the message says which and what."""


@dataclass(frozen=True, config=STRICT)
class Needs:
    """The machine that the profile's params were chosen for; `memory` of the device, in GB."""

    device: Device
    memory: Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=STRICT)
class Text:
    """A decoder of the Llama kind: gated MLP, `heads` queries share `kv_heads` keys and values.

    Attributes:
        tied: Words are read and written with one matrix.
    """

    layers: Positive
    hidden: Positive
    heads: Positive
    kv_heads: Positive
    head_dim: Positive
    intermediate: Positive
    vocab: Positive
    tied: bool


@dataclass(frozen=True, config=STRICT)
class Vision:
    """A vision transformer.

    Attributes:
        gated: The MLP has three matrices instead of two.
        patch: Edge of a patch, px.
        image_size: Edge of what the tower sees at once, px.
        tiles: So many squares of `image_size` the processor makes of one image.
    """

    layers: Positive
    hidden: Positive
    intermediate: Positive
    gated: bool
    patch: Positive
    image_size: Positive
    tiles: Positive

    @property
    def patches(self) -> int:
        """Patches of one image, over all its tiles."""
        return self.tiles * (self.image_size // self.patch) ** 2


@dataclass(frozen=True, config=STRICT)
class Shape:
    """A multimodal LLM in numbers.

    Attributes:
        connector: Its matrices, each (features in, features out).
        image_tokens: Tokens that one image takes in the prompt.
    """

    text: Text
    vision: Vision
    connector: tuple[tuple[Positive, Positive], ...]
    image_tokens: Positive


@dataclass(frozen=True, config=STRICT)
class Profile:
    """One file of profiles/."""

    about: str
    params: dict[Block, dict[str, object]]
    needs: Needs
    shape: Shape


def names(folder: Path) -> list[str]:
    """Names of the profiles in a folder, from the smallest model's to the largest's."""
    known = [path.stem for path in folder.glob("*.yaml")]
    return sorted(known, key=lambda name: (load(folder, name).needs.memory, name))


def load(folder: Path, name: str) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: There is none of that name, or it is faulty.
    """
    path = folder / f"{name}.yaml"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise ProfileError(f"no profile {name!r} in {folder}; there are: {', '.join(known)}")
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return TypeAdapter(Profile).validate_json(json.dumps(raw), strict=True)
    except YAMLError as error:
        raise ProfileError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ProfileError(f"{path}: {'; '.join(faults)}") from error


def of_model(folder: Path, model_id: str) -> tuple[str, Profile] | None:
    """Name and profile of the model with this id, None where there is none."""
    known = ((name, load(folder, name)) for name in names(folder))
    return next(((n, p) for n, p in known if p.params["model"].get("id") == model_id), None)


def overlaid(path: Path, profile: Profile) -> tuple[str, Params]:
    """params.yaml with the profile's values: the text, and what it says. Writes nothing there.

    Only the values change; comments and every other byte stay, so that the diff is the profile.

    Raises:
        ProfileError: A key is not in params.yaml, or the result is no valid params.yaml.
        ParamsError: params.yaml itself is faulty.
    """
    load_params(path)
    text = path.read_text(encoding="utf-8")
    tree = _members(YAML().compose(text))
    changes = []
    for block, values in profile.params.items():
        there = _members(tree[block])
        unknown = [f"{block}.{key}" for key in values if key not in there]
        if unknown:
            raise ProfileError(f"{path} has no {', '.join(unknown)}: take it out of the profile")
        changes += [
            (there[key].start_mark.index, there[key].end_mark.index, value)
            for key, value in values.items()
            if YAML(typ="safe", pure=True).load(_source(text, there[key])) != value
        ]
    # From the end, so that the positions before stay true. JSON is YAML in flow style.
    for start, end, value in sorted(changes, key=lambda change: change[0], reverse=True):
        text = text[:start] + _flow(value) + text[end:]
    with TemporaryDirectory() as folder:
        candidate = Path(folder) / path.name
        candidate.write_text(text, encoding="utf-8")
        try:
            return text, load_params(candidate)
        except ParamsError as error:
            faults = str(error).partition("\n")[2]
            raise ProfileError(f"the profile does not fit {path}:\n{faults}") from error


def _members(node: MappingNode) -> dict[str, object]:
    return {key.value: value for key, value in node.value}


def _source(text: str, node: object) -> str:
    return text[node.start_mark.index : node.end_mark.index]


def _flow(value: object) -> str:
    """A scalar or list as params.yaml writes it: words without quotes where YAML allows it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str) and YAML(typ="safe", pure=True).load(value) == value:
        return value
    return json.dumps(value)


def write(path: Path, profile: Profile) -> str:
    """Write the profile's values into params.yaml; the diff, empty if it had them already.

    Raises:
        ProfileError: It does not fit; params.yaml stays as it was.
        ParamsError: params.yaml itself is faulty.
    """
    before = path.read_text(encoding="utf-8")
    after, _ = overlaid(path, profile)
    replace(path, after.encode())
    lines = (before.splitlines(), after.splitlines())
    return "\n".join(difflib.unified_diff(*lines, path.name, path.name, n=0, lineterm=""))
