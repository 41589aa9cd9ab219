"""A round whose model, draft annotator and second judge are one server, through the real stages."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from ruamel.yaml import YAML

from medq_engine import cli
from medq_engine.endpoints.answer_store import CONTENT
from medq_engine.judge import AXES
from pipeline import stage
from tests.fake_server import Answer, Body, FakeServer, plausible
from tests.pipeline.miniature import Workshop, merge

KEY, SECRET = "MEDQ_TEST_KEY", "-".join(("sk", "secret", "0123456789"))
STORE = "data/answers/fake.jsonl"
QUEUE = "data/queue/round-001.jsonl"
EVALUATED = ("data/round/predictions.parquet", "metrics/evaluate.json")
ROUTED = ("data/round/tasks.parquet", "metrics/route.json", QUEUE)
REPEATS = 3
DEAD_AFTER = 100


@dataclass(frozen=True)
class Played:
    """A repository whose round was played by a server up to the labels.

    Attributes:
        shop: The repository; everything that a server was asked is in its answer store.
        server: The server.
        evaluating: Requests that evaluate sent; what is above came from route.
    """

    shop: Workshop
    server: FakeServer
    evaluating: int


def play_by(server: FakeServer, root: Path, max_requests: int = 3000) -> None:
    """Let a server take all three parts."""
    path = root / "params.yaml"
    yaml = YAML()
    params = yaml.load(path.read_text(encoding="utf-8"))
    asked = {"url": server.url, "model": "fake-1", "key": KEY, "concurrency": 2}
    limits = {"max_requests": max_requests, "max_cost": 0.0, "retries": 0, "timeout": 10.0}
    prices = {"price_input": 0.0, "price_output": 0.0}
    changes = {
        "model": {"id": "endpoint:fake", "answer_format": "letter"},
        "endpoints": {"fake": asked | limits | prices},
        "judge": {"endpoint": "fake"},
        "drafts": {"endpoint": "fake"},
        "evaluate": {"repeats": REPEATS},
        # Many a task is uncertain enough for its draft, so that unread drafts meet that route.
        "route": {"rule": "paper", "entropy_quantile": 0.3},
    }
    merge(params, changes)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


def run(*stages: str) -> None:
    """Run stages in this process, which has loaded all that they import."""
    for name in stages:
        stage.run(importlib.import_module(f"pipeline.{name}").main)


def contents(shop: Workshop, names: tuple[str, ...]) -> dict[str, bytes]:
    return {name: shop.path(name).read_bytes() for name in names}


def table(shop: Workshop, name: str) -> pl.DataFrame:
    return pl.read_parquet(shop.path(f"data/round/{name}.parquet"))


def metrics(shop: Workshop, name: str) -> dict:
    return json.loads(shop.path(f"metrics/{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def played(waiting: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A copy of the waiting repository, its round played anew by a server, labels and all."""
    root = waiting.copy(tmp_path_factory.mktemp("endpoint") / "repository").root
    for made in ("models/current", "data/round"):
        shutil.rmtree(root / made)
    with FakeServer(plausible) as server:
        play_by(server, root)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            patch.setenv(KEY, SECRET)
            run("current", "drafts", "evaluate")
            evaluating = len(server.bodies)
            run("cluster", "retrieve", "route")
            cli.main(["simulate-expert"])
            run("annotate_import", "replay")
        yield Played(Workshop(root), server, evaluating)


@pytest.fixture
def unasked(
    waiting: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Workshop]:
    """Makes a repository, the current folder, that is to be played by a server and was not yet."""

    def make(server: FakeServer, **limits: int) -> Workshop:
        shop = waiting.copy(tmp_path / "repository")
        play_by(server, shop.root, **limits)
        monkeypatch.chdir(shop.root)
        return shop

    return make


def test_evaluate_counts_votes_and_what_could_not_be_read(played):
    found = table(played.shop, "predictions")
    closed = found.filter(pl.col("answers").is_not_null())
    items = pl.read_parquet(played.shop.path("data/benchmark/dev/items.parquet"))
    asked = dict(items.select("item_id", "options").iter_rows())
    for row in closed.iter_rows(named=True):
        votes = [answer for answer in row["answers"] if answer]
        options = asked[row["item_id"]]
        assert len(row["answers"]) == REPEATS
        assert row["unparsed"] == REPEATS - len(votes)
        shares = [votes.count(o) / len(votes) if votes else 1 / len(options) for o in options]
        assert row["probabilities"] == pytest.approx(shares)
        assert bool(row["answer"]) == bool(votes)
    said = metrics(played.shop, "evaluate")
    assert said["items"] == len(closed)
    assert said["unparsed"] == closed["unparsed"].sum() > 0
    assert said["failures"] == closed["failure"].sum() > 0


def test_the_second_judge_stands_beside_the_first_with_its_unread_scores(played):
    found = table(played.shop, "predictions").filter(pl.col("text").is_not_null())
    judged = found.select(f"llm_{axis}" for axis in AXES)
    lost = {axis: judged[f"llm_{axis}"].null_count() for axis in AXES}
    assert found["llm_unparsed"].sum() == sum(lost.values()) > 0
    said = metrics(played.shop, "evaluate")["llm_judge"]
    assert said["unparsed"] == lost
    for axis, agreed in said["agreement"].items():
        both = (found[axis] == found[f"llm_{axis}"]).fill_null(value=False)
        assert (agreed["n"], agreed["unparsed"]) == (len(found), lost[axis])
        assert agreed["exact"] == pytest.approx(both.mean())
    judging = [body for body in played.server.bodies if "Score: N" in str(body)]
    assert 0 < len(judging) <= len(AXES) * len(found)
    assert "image_url" not in str(judging)


def test_route_takes_the_servers_drafts_and_labels_nothing_by_one_unread(played):
    tasks = table(played.shop, "tasks")
    unread = tasks.filter(pl.col("draft") == "")
    assert len(unread)
    assert set(unread["route"]) <= {"expert", "deferred"}
    assert "draft" in set(tasks["route"])
    for task in tasks.filter(pl.col("draft") != "").iter_rows(named=True):
        assert task["draft"] in task["options"]
    labels = table(played.shop, "labels")
    assert {"draft", "expert"} <= set(labels["route"])
    assert "" not in set(labels["answer"])
    # What the simulated annotator would say is not there to be mistaken for it.
    assert len(pl.read_parquet(played.shop.path("data/drafts.parquet"))) == 0


def test_the_store_has_each_answer_once_and_neither_key_nor_image(played):
    rows = [json.loads(line) for line in played.shop.path(STORE).read_text().splitlines()]
    assert len(rows) == len(played.server.bodies)
    assert [row["key"] for row in rows] == sorted({row["key"] for row in rows})
    assert {frozenset(row) for row in rows} == {frozenset({"key", *CONTENT, "reply"})}
    assert {len(digest) for row in rows for digest in row["images"]} == {64}
    # The key went to the server, and nowhere else.
    assert set(played.server.keys) == {f"Bearer {SECRET}"}
    files = [path for path in played.shop.root.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_second_run_asks_nothing_needs_no_key_and_gives_the_same_bytes(played, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    names = (*EVALUATED, *ROUTED, STORE)
    before, asked = contents(played.shop, names), len(played.server.bodies)
    for name in (*EVALUATED, *ROUTED):
        played.shop.path(name).unlink()
    # Another process, where sets have another order.
    again = "from pipeline import evaluate, route; evaluate.main(); route.main()"
    played.shop.run(sys.executable, "-c", again)
    assert contents(played.shop, names) == before
    assert len(played.server.bodies) == asked


def test_finetune_refuses_a_server_and_says_where_its_round_ends(played):
    done = played.shop.run(sys.executable, "-m", "pipeline.finetune", check=False)
    assert done.returncode == 1
    assert "model.id is endpoint:fake" in done.stderr
    assert "dvc repro annotate-import" in done.stderr
    assert "Traceback" not in done.stderr
    assert not played.shop.path("models/challenger").exists()


def test_a_run_whose_server_dies_keeps_what_came_and_asks_only_the_rest(
    played, unasked, monkeypatch
):
    def mortal(number: int, body: Body) -> Answer:
        if number == DEAD_AFTER:
            server.die()
        return plausible(number, body)

    monkeypatch.setenv(KEY, SECRET)
    with FakeServer(mortal) as server:
        shop = unasked(server)
        with pytest.raises(SystemExit) as stopped:
            run("evaluate")
    kept = shop.path(STORE).read_text(encoding="utf-8").splitlines()
    assert DEAD_AFTER <= len(kept) < played.evaluating
    told = str(stopped.value)
    assert "Connection error" in told
    assert f"{len(kept)} of " in told
    assert STORE in told

    with FakeServer(plausible) as server:
        play_by(server, shop.root)
        run("evaluate")
        assert len(server.bodies) == played.evaluating - len(kept)
    assert contents(shop, EVALUATED) == contents(played.shop, EVALUATED)


def test_limits_are_of_a_stage_whatever_parts_a_server_takes_in_it(played, unasked, monkeypatch):
    monkeypatch.setenv(KEY, SECRET)
    with FakeServer(plausible) as server:
        unasked(server, max_requests=played.evaluating - 1)
        with pytest.raises(SystemExit, match="max_requests"):
            run("evaluate")
        assert len(server.bodies) == played.evaluating - 1


def test_a_missing_key_is_named_before_anything_is_sent(unasked, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    with FakeServer(plausible) as server:
        shop = unasked(server)
        with pytest.raises(SystemExit, match=f"environment variable {KEY}"):
            run("evaluate")
        assert server.bodies == []
    assert not shop.path(STORE).exists()
