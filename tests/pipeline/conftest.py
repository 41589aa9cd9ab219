"""Miniature repositories at two points of their first round."""

import shutil

import pytest

from tests.pipeline.miniature import Workshop, build


@pytest.fixture(scope="session")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A repository whose round waits for people: everything up to route has run."""
    shop = build(tmp_path_factory.mktemp("miniature"))
    shop.repro("route")
    return shop


@pytest.fixture(scope="session")
def finished(waiting: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The same repository (a copy) with its first round run to the verdict."""
    root = tmp_path_factory.mktemp("finished") / "repository"
    shutil.copytree(waiting.root, root, symlinks=True)
    shop = Workshop(root)
    shop.medq("simulate-expert")
    shop.repro()
    return shop
