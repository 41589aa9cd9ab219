from pathlib import Path

import pytest

from medq_engine.experiment.grid import GridError, cells, override, read_grid

GRID = """
worlds:
  rare: {pool.rare_share: 0.04}
  common: {pool.rare_share: 0.16}
strategies:
  engine: {}
  flat: {retrieve.alpha: 0.0}
parts:
  main: {worlds: [rare], strategies: [engine, flat], seeds: [1, 2], rounds: 2}
  sweep: {worlds: [rare, common], strategies: [engine], seeds: [1], rounds: 3}
report:
  engine: engine
  random: [flat]
  others: {}
  ablations: []
  world: rare
  common: common
  round: 1
  ceiling: null
"""


def grid_of(tmp_path: Path, text: str = GRID):
    path = tmp_path / "grid.yaml"
    path.write_text(text, encoding="utf-8")
    return read_grid(path)


def test_the_repositorys_grid_is_valid_and_its_keys_exist():
    from medq_engine.experiment.plan import Repository

    root = Path(__file__).parents[2]
    grid, params = read_grid(root / "pipeline/efficiency.yaml"), Repository(root).params
    for values in (*grid.worlds.values(), *grid.strategies.values()):
        override(params, values, "the grid")


def test_all_strategies_with_the_first_seed_come_before_the_second(tmp_path: Path):
    names = [cell.name for cell in cells(grid_of(tmp_path), ["main"])]
    assert names == [
        "rare--engine--s1--r1",
        "rare--flat--s1--r1",
        "rare--engine--s1--r2",
        "rare--flat--s1--r2",
        "rare--engine--s2--r1",
        "rare--flat--s2--r1",
        "rare--engine--s2--r2",
        "rare--flat--s2--r2",
    ]


def test_a_cell_of_two_parts_is_run_once_and_a_longer_part_goes_on_with_the_chain(tmp_path: Path):
    names = [cell.name for cell in cells(grid_of(tmp_path), ["main", "sweep"])]
    assert len(names) == len(set(names)) == 8 + 1 + 3
    assert names.index("rare--engine--s1--r2") < names.index("rare--engine--s1--r3")


def test_an_extra_part_runs_only_if_it_is_asked_for(tmp_path: Path):
    grid = grid_of(tmp_path, GRID.replace("rounds: 3}", "rounds: 3, extra: true}"))
    assert grid.default_parts == ["main"]
    assert "rare--engine--s1--r3" in [cell.name for cell in cells(grid, ["sweep"])]


def test_a_part_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(GridError, match="no part 'mian' in the grid; there are: main, sweep"):
        cells(grid_of(tmp_path), ["mian"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("strategies: [engine, flat]", "strategies: [engine, round]", "no such strategy: round"),
        ("worlds: [rare, common]", "worlds: [rare, odd]", "no such world: odd"),
        ("  random: [flat]", "  random: [chance]", "no such strategy: chance"),
        ("  flat: {", "  flat--er: {", "must be words"),
        ("rounds: 2", "rounds: 0", "parts.main.rounds"),
        ("ceiling: null", "ceiling: null\n  floor: 1", "report.floor"),
    ],
)
def test_a_faulty_grid_is_refused_with_the_place_of_the_fault(
    tmp_path: Path, old: str, new: str, said: str
):
    with pytest.raises(GridError, match=said) as refused:
        grid_of(tmp_path, GRID.replace(old, new))
    assert "grid.yaml" in str(refused.value)


def test_overrides_reach_nested_keys_and_leave_the_params_as_they_were():
    params = {"seed": 1, "retrieve": {"alpha": 1.0, "budget": 10}}
    changed = override(params, {"retrieve.alpha": 0.0, "seed": 2}, "a test")
    assert changed == {"seed": 2, "retrieve": {"alpha": 0.0, "budget": 10}}
    assert params == {"seed": 1, "retrieve": {"alpha": 1.0, "budget": 10}}


@pytest.mark.parametrize("key", ["retrieve.alhpa", "alpha", "seed.alpha", "a.b.c"])
def test_a_key_that_params_lack_is_refused_with_who_set_it(key: str):
    with pytest.raises(GridError, match=f"strategy flat sets {key}"):
        override({"seed": 1, "retrieve": {"alpha": 1.0}}, {key: 0}, "strategy flat")
