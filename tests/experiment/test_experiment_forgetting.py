from medq_engine.experiment import findings, forgetting
from tests.experiment.made_cells import BASE_NAME, GRID, base, cell


def test_every_slice_stands_beside_the_base_by_round():
    cells = [
        cell("rare", "engine", seed, number, 100, accuracy)
        for seed, number, accuracy in ((1, 1, 0.4), (2, 1, 0.5), (1, 2, 0.6))
    ]
    world = findings.worlds(GRID, {BASE_NAME: base(), **dict(cells)})["rare"]
    section = forgetting.section(world, "engine")
    (line,) = [line for line in section.splitlines() if line.startswith("| modality | ct |")]
    assert "| 50.0 | -5.0 (" in line
    assert line.endswith("| +10.0 |")  # one seed has no interval
    assert sum(line.startswith("| kind |") for line in section.splitlines()) == 3
    assert "(simulated)" in section
