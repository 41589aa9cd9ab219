"""The experiment on miniature data: a chain of two rounds is killed, goes on, is not repeated."""

import json
import signal
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML

from tests.pipeline.miniature import Workshop

CELLS = "docs/results/efficiency/cells"
COMMAND = (sys.executable, "-m", "pipeline.efficiency", "--jobs", "1")


def write_grid(shop: Workshop, **strategies: dict[str, object]) -> None:
    """One chain of two rounds in the world as it is, of another strategy one round."""
    yaml = YAML(typ="safe")
    seed = yaml.load(shop.path("params.yaml").read_text(encoding="utf-8"))["seed"]
    grid = {
        "worlds": {"small": {}},
        "strategies": {"engine": {}, "flat": {"retrieve.alpha": 0.0}} | strategies,
        "parts": {
            "main": {"worlds": ["small"], "strategies": ["engine"], "seeds": [seed], "rounds": 2},
            "more": {"worlds": ["small"], "strategies": ["flat"], "seeds": [seed], "rounds": 1},
        },
        "report": {
            "engine": "engine",
            "random": ["flat"],
            "others": {},
            "ablations": [],
            "world": "small",
            "common": "small",
            "round": 1,
            "ceiling": None,
        },
    }
    with shop.path("pipeline/efficiency.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump(grid, stream)


@pytest.fixture(scope="module")
def shop(finished: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A repository whose first round is done, and a grid that begins with the same round."""
    shop = finished.copy(tmp_path_factory.mktemp("experiment") / "repository")
    write_grid(shop)
    return shop


def cells(shop: Workshop) -> dict[str, bytes]:
    """The results that are there, by strategy and round."""
    found = {}
    for path in sorted(shop.path(CELLS).glob("small--*.json")):
        cell = json.loads(path.read_bytes())["cell"]
        found[f"{cell['strategy']}-{cell['round']}"] = path.read_bytes()
    return found


def killed_after_the_first_round(shop: Workshop) -> None:
    """Start the experiment, and kill it with its workers once a round is done."""
    running = subprocess.Popen(
        [*COMMAND, "--only", "main"],
        cwd=shop.root,
        env=shop.environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 600
    while not cells(shop) and running.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()


def test_a_killed_experiment_goes_on_and_a_finished_one_does_nothing(shop: Workshop):
    before = shop.git("status", "--porcelain", "--untracked-files=all")
    killed_after_the_first_round(shop)
    first = cells(shop)
    assert list(first) == ["engine-1"]

    said = shop.run(*COMMAND, "--only", "main").stdout
    assert "2 of 3 cells are there, 1 to run" in said
    assert "[1/1] small--engine" in said
    both = cells(shop)
    assert both["engine-1"] == first["engine-1"]
    assert json.loads(both["engine-2"])["trained"] > json.loads(both["engine-1"])["trained"]

    page = shop.path("docs/results/efficiency.md").read_bytes()
    again = shop.run(*COMMAND, "--only", "main").stdout
    assert "3 of 3 cells are there, 0 to run" in again
    assert cells(shop) == both
    assert shop.path("docs/results/efficiency.md").read_bytes() == page

    # Nothing of the round that is open in the repository was touched.
    after = shop.git("status", "--porcelain", "--untracked-files=all")
    new = set(after.splitlines()) - set(before.splitlines())
    assert {line[3:] for line in new if "docs/results/efficiency" not in line} == set()
    the_first_cell_is_the_first_round_of_the_loop(shop, json.loads(both["engine-1"]))


def the_first_cell_is_the_first_round_of_the_loop(shop: Workshop, cell: dict) -> None:
    """The same stages with the same params and seed end in the same labels and answers."""

    def metrics(name: str) -> dict:
        return json.loads(shop.path(f"metrics/{name}.json").read_text(encoding="utf-8"))

    labels, gate = metrics("annotate_import"), metrics("gate")
    assert cell["accepted"] == labels["by_route"]
    assert cell["minutes"] == labels["expert_minutes_total"]
    assert cell["test"]["accuracy"] == gate["test"]["challenger"]["accuracy"]
    assert cell["gate"]["verdict"] == gate["verdict"]
    assert cell["gate"]["value"] == gate["gate"]["overall"]["value"]


def test_a_changed_param_of_one_strategy_runs_that_strategy_alone(shop: Workshop):
    if not cells(shop):
        pytest.skip("the chain did not run")
    done = shop.run(*COMMAND, "--minutes", "0").stdout
    assert "3 of 4 cells are there, 1 to run" in done
    write_grid(shop, engine={"finetune.steps": 7})
    assert "1 of 4 cells are there, 3 to run" in shop.run(*COMMAND, "--minutes", "0").stdout


def test_a_cell_that_fails_is_named_with_the_reason(shop: Workshop):
    untrusted = {"model": 0.0, "draft": 0.0, "expert": 0.0}
    write_grid(shop, flat={"finetune.route_weight": untrusted})
    done = shop.run(*COMMAND, "--only", "more", check=False)
    assert done.returncode == 1
    assert "no training samples" in done.stdout
    assert "1 cells failed, the first is small--flat" in done.stderr
