from pathlib import Path

import pytest

from tests.medqbench.miniature_medqbench import make_benchmark


@pytest.fixture
def benchmark(tmp_path, item_row) -> Path:
    return make_benchmark(tmp_path / "benchmark", item_row)
