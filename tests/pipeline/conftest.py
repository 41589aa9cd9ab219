"""Miniature repositories at two points of their first round."""

from pathlib import Path

import pytest

from tests.pipeline.miniature import Workshop, build

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of whole rounds in one process: the repositories below are dear to make."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("rounds"))


@pytest.fixture(scope="session")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A repository whose round waits for people: everything up to route has run."""
    shop = build(tmp_path_factory.mktemp("miniature"))
    shop.repro("route")
    return shop


@pytest.fixture(scope="session")
def finished(waiting: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The same repository (a copy) with its first round run to the verdict."""
    shop = waiting.copy(tmp_path_factory.mktemp("finished") / "repository")
    shop.medq("simulate-expert")
    shop.repro()
    return shop
