import re
from pathlib import Path

import pytest

from medq_engine import estimates, profiles
from medq_engine.config import ParamsError, load_params
from medq_engine.profiles import ProfileError

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "profiles"
NAMES = profiles.names(FOLDER)

TINY = """\
about: a test
params:
  model: { id: tiny, dtype: bfloat16 }
  finetune: { adapt: [language], train_whole: [], learning_rate: 1.0e-5 }
needs: { device: cpu, memory: 1 }
shape:
  text:
    { layers: 1, hidden: 8, heads: 2, kv_heads: 1, head_dim: 4, intermediate: 16,
      vocab: 32, tied: true }
  vision:
    { layers: 1, hidden: 8, intermediate: 16, gated: false, patch: 4, image_size: 8, tiles: 1 }
  connector: [[8, 8]]
  image_tokens: 4
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with params.yaml and one profile, `tiny`."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    return tmp_path


def change(folder: Path, before: str, after: str) -> None:
    path = folder / "tiny.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_the_smallest_machine_comes_first():
    assert NAMES[:3] == ["nano", "smolvlm-256m", "smolvlm-2.2b"]
    assert {"internvl3-8b", "qwen2.5-vl-7b", "qwen3-vl-8b"} == set(NAMES[3:])


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_fits_params_and_the_machine_that_it_asks_for(name):
    profile = profiles.load(FOLDER, name)
    _, params = profiles.overlaid(ROOT / "params.yaml", profile)
    for key, value in profile.params["model"].items():
        assert getattr(params.model, key) == value
    peaks = (
        estimates.evaluate_bytes(profile.shape, params.model),
        estimates.finetune_bytes(profile.shape, params.model, params.finetune),
    )
    # A tenth is left to what the estimate does not know.
    assert max(peaks) / 1e9 < 0.9 * profile.needs.memory


def test_nano_is_what_the_repository_ships():
    text, _ = profiles.overlaid(ROOT / "params.yaml", profiles.load(FOLDER, "nano"))
    assert text == (ROOT / "params.yaml").read_text(encoding="utf-8")


def test_a_profile_is_found_by_the_id_of_its_model():
    name, profile = profiles.of_model(FOLDER, "OpenGVLab/InternVL3-8B-hf")
    assert name == "internvl3-8b"
    assert profile.needs.device == "cuda"
    assert profiles.of_model(FOLDER, "somebody/else") is None


def test_writing_changes_the_values_and_nothing_else(folder):
    path = folder / "params.yaml"
    before = path.read_text(encoding="utf-8")
    diff = profiles.write(path, profiles.load(folder, "tiny"))
    after = path.read_text(encoding="utf-8")
    params = load_params(path)
    assert (params.model.id, params.model.dtype) == ("tiny", "bfloat16")
    assert (params.finetune.adapt, params.finetune.train_whole) == (("language",), ())
    assert params.finetune.learning_rate == 1e-5
    pairs = list(zip(before.splitlines(), after.splitlines(), strict=True))
    changed = [(old, new) for old, new in pairs if old != new]
    assert len(changed) == 5
    # Comments stay, at the end of their lines too.
    assert all(old.partition("#")[2] == new.partition("#")[2] for old, new in changed)
    assert "  id: tiny # a folder or hub id" in after
    lines = [line for line in diff.splitlines() if re.match(r"[-+] ", line)]
    assert len(lines) == 10
    assert profiles.write(path, profiles.load(folder, "tiny")) == ""


def test_an_unknown_name_is_told_what_there_is(folder):
    with pytest.raises(ProfileError, match=r"no profile 'huge' in .*; there are: params, tiny"):
        profiles.load(folder, "huge")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("dtype: bfloat16", "typo: 1", "model.typo"),
        ("dtype: bfloat16", "dtype: int3", "model.dtype"),
        ("learning_rate: 1.0e-5", "rank: many", "finetune.rank"),
    ],
)
def test_what_params_cannot_hold_is_refused_and_changes_nothing(folder, before, after, said):
    change(folder, before, after)
    path = folder / "params.yaml"
    text = path.read_bytes()
    with pytest.raises(ProfileError, match=said):
        profiles.write(path, profiles.load(folder, "tiny"))
    assert path.read_bytes() == text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("kv_heads: 1, ", "", "shape.text.kv_heads"),
        ("memory: 1", "memory: 0", "needs.memory"),
        ("  model:", "  route:", "params.route"),
        ("about: a test", "about: [", "tiny.yaml"),
    ],
)
def test_a_faulty_profile_names_file_and_key(folder, before, after, said):
    change(folder, before, after)
    with pytest.raises(ProfileError, match=said):
        profiles.load(folder, "tiny")


def test_params_that_are_faulty_already_are_not_the_profiles_fault(folder):
    path = folder / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("gamma: 0.6", "gamma: 6"))
    with pytest.raises(ParamsError, match=r"evaluate\.gamma"):
        profiles.overlaid(path, profiles.load(folder, "tiny"))
