"""Miniature repositories at two points of their first round.

They are dear to make: processes that share the tests make each once, and take a copy.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.pipeline.miniature import Workshop, build

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole rounds come first: the longest tests must not run alone at the end."""
    items.sort(key=lambda item: HERE not in item.path.parents)


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[Path], None]], Workshop]:
    """A repository by its name, made by whoever comes first; a copy for this process."""
    own = tmp_path_factory.getbasetemp()
    common = own if worker_id == "master" else own.parent

    def get(name: str, make: Callable[[Path], None]) -> Workshop:
        root, done = common / f"{name}-made", common / f"{name}.done"
        with FileLock(common / f"{name}.lock"):
            if not done.exists():
                make(root)
                done.touch()
        return Workshop(root).copy(tmp_path_factory.mktemp(name) / "repository")

    return get


@pytest.fixture(scope="session")
def waiting(made_once: Callable[[str, Callable[[Path], None]], Workshop]) -> Workshop:
    """A repository whose round waits for people: everything up to route has run."""

    def make(root: Path) -> None:
        root.mkdir()
        build(root).repro("route")

    return made_once("waiting", make)


@pytest.fixture(scope="session")
def finished(
    waiting: Workshop, made_once: Callable[[str, Callable[[Path], None]], Workshop]
) -> Workshop:
    """The same repository with its first round run to the verdict."""

    def make(root: Path) -> None:
        shop = waiting.copy(root)
        shop.path("data/annotations/round-001.jsonl").unlink(missing_ok=True)
        shop.medq("simulate-expert")
        shop.repro()

    return made_once("finished", make)
