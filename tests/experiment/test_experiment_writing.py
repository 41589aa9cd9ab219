from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medq_engine.experiment import findings, targets, wording, writing
from medq_engine.experiment.resampling import Estimate
from tests.experiment.made_cells import BASE_NAME, GRID, TERMS, base, cell, made


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> Iterator[None]:
    """Nothing here depends on how many there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings, "RESAMPLES", 100)
        yield


@pytest.fixture(scope="module")
def page(few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("docs") / "efficiency.md"
    writing.write(GRID, 30, made(), TERMS, path)
    return path


def line_of(text: str, *words: str) -> str:
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_the_page_says_what_is_simulated_and_what_it_was_made_of(page: Path):
    text = page.read_text(encoding="utf-8")
    assert "**Everything on this page is simulated**" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    measured = ("How it is measured", "The grid")
    assert all("(simulated)" in h for h in headings if not h.endswith(measured))
    count = len(made())
    assert f"{count} of 30 cells" in text
    assert "2026-03-01 to 2026-03-02" in text
    assert "`aaaaaaa`" in text
    assert "`bbbbbbb`" in text


def test_targets_stand_beside_what_was_measured(page: Path):
    text = page.read_text(encoding="utf-8")
    rare = line_of(text, "label efficiency against random, rare")
    assert "| 4.0 (4.0 to 4.0) | no |" in rare
    common = line_of(text, "label efficiency against random, common")
    assert common.endswith("| no |")
    best = line_of(text, "against the best other strategy")
    assert "2.4 (2.4 to 2.4): entropy | yes |" in best
    assert "75.0 (" in line_of(text, "gap from base to expert closed")
    assert "33%, 12 of 600 wrong (2.0%) | no |" in line_of(text, "expert share of labels")


def test_the_gate_says_how_far_challengers_lead_and_how_many_pass():
    verdicts = zip((0.01, 0.03), ("inconclusive", "pass"), strict=True)
    results = [{"gate": {"value": value, "verdict": verdict}} for value, verdict in verdicts]
    assert writing.gate(results) == "+2.0, 1 of 2 pass"


def test_untaught_faults_have_a_table_of_their_own(page: Path):
    heading = "### Times as many labels as engine, items with an untaught fault alone"
    table = page.read_text(encoding="utf-8").split(heading)[1]
    assert "| 1 | 100 | 4.0 (" in table


def test_every_world_is_in_the_sweep_also_where_the_engine_does_not_win(page: Path):
    sweep = page.read_text(encoding="utf-8").split("## All worlds")[1]
    assert "+10.0 (" in line_of(sweep, "| rare |")
    assert "+0.0 (+0.0 to +0.0)" in line_of(sweep, "| common |")


def test_the_grid_is_on_the_page(page: Path):
    text = page.read_text(encoding="utf-8")
    assert "pool.rare\\_share: 0.04" in line_of(text, "| world |", "| rare |")
    assert "as it is" in line_of(text, "| strategy |", "| engine |")


def test_figures_are_there_and_the_page_shows_them(page: Path):
    text = page.read_text(encoding="utf-8")
    for name in ("curves.png", "ablations.png", "worlds.png"):
        assert f"(efficiency/{name})" in text
        assert (page.with_suffix("") / name).read_bytes().startswith(b"\x89PNG")


def test_the_same_cells_make_the_same_page(page: Path, tmp_path: Path):
    again = tmp_path / "efficiency.md"
    writing.write(GRID, 30, made(), TERMS, again)
    assert again.read_bytes() == page.read_bytes()
    for figure in page.with_suffix("").iterdir():
        assert (tmp_path / "efficiency" / figure.name).read_bytes() == figure.read_bytes()


def test_figures_say_that_they_are_simulated_and_name_their_lines(texts: list[str], tmp_path: Path):
    writing.write(GRID, 30, made(), TERMS, tmp_path / "efficiency.md")
    assert sum("simulated" in text for text in texts) == 3
    assert {"engine", "random", "entropy", "base", "no-audit"} <= set(texts)


def test_one_cell_makes_a_page_and_none_makes_none(tmp_path: Path):
    page = tmp_path / "efficiency.md"
    assert "no page" in writing.write(GRID, 30, {BASE_NAME: base()}, TERMS, page)
    assert not page.exists()
    one = dict([cell("rare", "engine", 1, 1, 100, 0.7)])
    said = writing.write(GRID, 30, {BASE_NAME: base(), **one}, TERMS, page)
    assert "2 of 30 cells" in said
    rows = page.read_text(encoding="utf-8")
    assert line_of(rows, "label efficiency against random, rare").endswith("| - | - |")
    assert "70.0 |" in line_of(rows, "| engine | 1 |")  # one seed has no interval
    assert "## Ablations" not in rows


def test_a_world_beside_the_main_one_makes_a_page_alone(tmp_path: Path):
    page = tmp_path / "efficiency.md"
    one = dict([cell("common", "engine", 1, 1, 100, 0.7), cell("common", "random", 1, 1, 100, 0.6)])
    writing.write(GRID, 30, {BASE_NAME: base(), **one}, TERMS, page)
    assert "## Targets" not in page.read_text(encoding="utf-8")
    assert "+10.0" in line_of(page.read_text(encoding="utf-8"), "| common |")


def test_a_bound_that_reaches_the_target_meets_it_and_a_shorter_one_does_not():
    there = made()
    for seed in (1, 2, 3):
        del there[f"rare--random-9--s{seed}--r1"]
        there |= dict([cell("rare", "random-9", seed, 1, 1000, 0.6)])
    rows = targets.section(findings.worlds(GRID, there), GRID.report)
    row = line_of(rows, "label efficiency against random, rare")
    assert ">= 10.0, 100% beyond | yes |" in row
    for seed in (1, 2, 3):
        there |= dict([cell("rare", "random-9", seed, 1, 990, 0.6)])
    rows = targets.section(findings.worlds(GRID, there), GRID.report)
    assert line_of(rows, "label efficiency against random, rare").endswith("| no |")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Estimate(4, 3, 5, 9, 0), "4.0 (3.0 to 5.0)"),
        (Estimate(4, 3, np.inf, 9, 0.125), "4.0 (3.0 to >= 9.0), 12% beyond"),
        (Estimate(np.inf, np.inf, np.inf, 9, 1.0), ">= 9.0, 100% beyond"),
        (Estimate(np.inf, 7, np.inf, 9, 0.6), ">= 9.0 (7.0 to >= 9.0), 60% beyond"),
        # A draw whose strategy has spent less than the mean reaches further than the bound.
        (Estimate(np.inf, 9.5, np.inf, 9, 0.97), ">= 9.0, 97% beyond"),
        (None, "-"),
    ],
)
def test_efficiencies_are_printed_as_far_as_they_are_known(value: Estimate | None, said: str):
    assert wording.times(value) == said


def test_the_best_other_strategy_is_the_one_with_the_highest_accuracy():
    roles = replace(GRID.report, others={"entropy": ("entropy",), "random": ("random",)})
    rows = targets.section(findings.worlds(GRID, made()), roles)
    assert ": entropy |" in line_of(rows, "against the best other strategy")


def test_budgets_of_another_strategy_make_one_curve():
    there = made() | dict([cell("rare", "entropy-x3", s, 1, 720, 0.72) for s in (1, 2, 3)])
    worlds = findings.worlds(GRID, there)
    roles = replace(GRID.report, others={"entropy": ("entropy", "entropy-x3")})
    assert "2.4 (2.4 to 2.4): entropy | yes |" in targets.section(worlds, roles)
    shown = writing.main_comparison(worlds["rare"], worlds["rare"], roles, "figures")
    assert "| entropy-x3 | 1 | 3 | 720 |" in shown
    assert "entropy-x3" not in shown.split("### Times as many labels")[1].split("###")[0]
