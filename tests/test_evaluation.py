import numpy as np
import polars as pl
import pytest
from PIL import Image

from medq_engine import evaluation
from medq_engine.confidence import reliability
from medq_engine.descriptions import DESCRIBE, FIRST, SECOND
from medq_engine.endpoints.chat import Reply, Request
from medq_engine.evaluation import (
    first_is_better,
    predict,
    predict_file,
    recalibration,
    sample_answers,
    summary,
)
from medq_engine.judge import AXES
from medq_engine.language import quality_question
from medq_engine.models.local_model import LocalModel
from medq_engine.questions import Query, Scored
from medq_engine.tables import ITEM, PREDICTION, TableError, read, table, write

SETTINGS = {
    "repeats": 5,
    "gamma": 0.6,
    "temperature": 1.0,
    "description_repeats": 1,
    "two_images": False,
    "seed": 1,
}
OPENED = {
    "task": "description",
    "question_type": "",
    "options": [],
    "answer": "",
    "question": DESCRIBE,
}
PAIR = {
    "task": "comparison",
    "question": "Which image is better?",
    "options": [],
    "question_type": "coarse-grained",
}
USABLE = "There is mild aliasing. Overall, the quality of this image is usable."
REJECT = "There is severe blur. Overall, the quality of this image is reject."


class Fake:
    """Answers every query alike, or by what it is about; describes with the next text of a list."""

    def __init__(self, answer: object = None, texts: tuple[str, ...] = ()) -> None:
        self.answer = answer
        self.texts = iter(texts)
        self.queries: list[Query] = []
        self.asked: list[tuple[str, float, int]] = []

    def score(self, images: object, queries: list[Query]) -> list[Scored]:
        self.queries += queries
        return [self.answer(q) if callable(self.answer) else self.answer for q in queries]

    def generate(
        self, images: list[Image.Image], text: str, temperature: float, repeats: int
    ) -> list[list[tuple[str, float]]]:
        self.asked.append((text, temperature, repeats))
        return [[(next(self.texts), 0.5) for _ in range(repeats)] for _ in images]


def says(*probabilities: float) -> Scored:
    p = np.array(probabilities)
    return Scored(p, -np.log(np.maximum(p, 1e-9)))


def votes(*answers: str, options: tuple[str, ...] = ("Yes", "No")) -> Scored:
    """What an endpoint's draws come to; "" could not be read."""
    counts = np.array([answers.count(option) for option in options], dtype=float)
    p = counts / counts.sum() if counts.sum() else np.full(len(options), 1 / len(options))
    return Scored(p, np.full(len(options), 0.7), answers, answers.count(""))


@pytest.fixture
def images(noise_images) -> dict[str, Image.Image]:
    return {f"i{number}": image for number, image in enumerate(noise_images)}


@pytest.fixture
def model(nano_model) -> LocalModel:
    return LocalModel(nano_model, images_per_batch=2, option_orders=1, max_new_tokens=4, seed=1)


@pytest.fixture
def items(item_row) -> pl.DataFrame:
    rows = [item_row(f"q{n}", image_ids=[f"i{n}"], answer=["Yes", "No"][n % 2]) for n in range(4)]
    rows.insert(1, item_row("open", image_ids=["i3"], **OPENED))
    return table(rows, ITEM)


@pytest.fixture
def closed(items) -> pl.DataFrame:
    return items.filter(pl.col("task") == "perception")


@pytest.fixture
def opened(items) -> pl.DataFrame:
    return items.filter(pl.col("task") == "description")


def test_predictions_follow_the_items_and_keep_the_contract(model, images, items):
    found = predict(model, images, items, **SETTINGS)
    assert found["item_id"].to_list() == items["item_id"].to_list()
    assert dict(found.schema) == PREDICTION
    closed = items.join(found, on="item_id", suffix="_given").filter(pl.col("task") == "perception")
    for row in closed.iter_rows(named=True):
        best = int(np.argmax(row["probabilities"]))
        assert row["answer_given"] == row["options"][best]
        assert row["correct"] == (row["answer_given"] == row["answer"])
        truth = row["options"].index(row["answer"])
        assert row["probability_of_truth"] == row["probabilities"][truth]
        assert len(row["answers"]) == 5
        assert row["unparsed"] == 0
    described = found.row(1, named=True)
    assert described["text"] is not None
    assert described["nll"] > 0
    assert described["completeness"] is not None
    for name in ("correct", "stability", "llm_unparsed", "unparsed"):
        assert described[name] is None


def test_a_prediction_does_not_depend_on_the_other_items(model, images, items):
    all_of_them = predict(model, images, items, **SETTINGS)
    last = predict(model, images, items[-1:], **SETTINGS)
    assert last["answers"].to_list() == all_of_them["answers"].to_list()[-1:]
    assert last["nll"][0] == pytest.approx(all_of_them["nll"][-1], abs=1e-5)


@pytest.mark.parametrize(("wrong", "failure"), [(3, False), (4, True), (0, False), (5, True)])
def test_an_item_fails_when_its_error_rate_is_strictly_above_gamma(
    monkeypatch, images, closed, wrong, failure
):
    # Gamma is 0.6: three wrong answers of five are not yet persistent.
    drawn = ["No"] * wrong + ["Yes"] * (5 - wrong)
    monkeypatch.setattr(evaluation, "sample_answers", lambda *args: drawn)
    asked = closed.with_columns(answer=pl.lit("Yes"))
    found = predict(Fake(says(0.5, 0.5)), images, asked, **SETTINGS)
    assert found["error_rate"].to_list() == [wrong / 5] * 4
    assert found["failure"].to_list() == [failure] * 4


def test_nll_is_that_of_the_models_own_answer(images, closed):
    found = predict(Fake(says(0.2, 0.8)), images, closed, **SETTINGS)
    assert found["answer"].to_list() == ["No"] * 4
    assert found["nll"].to_list() == pytest.approx([-np.log(0.8)] * 4)


def test_the_draws_of_an_endpoint_are_the_answers_and_one_not_read_is_wrong(images, closed):
    drawn = ("Yes", "", "", "No", "Yes")
    found = predict(Fake(votes(*drawn)), images, closed[:1], **SETTINGS).row(0, named=True)
    assert found["answers"] == list(drawn)
    assert found["answer"] == "Yes"
    assert found["correct"]
    assert found["error_rate"] == pytest.approx(3 / 5)
    assert found["unparsed"] == 2
    assert found["probability_of_truth"] == pytest.approx(2 / 3)


def test_a_model_of_which_nothing_could_be_read_has_no_answer_and_is_wrong(images, closed):
    found = predict(Fake(votes("", "", "")), images, closed, **SETTINGS)
    assert found["answer"].to_list() == [""] * 4
    assert found["correct"].to_list() == [False] * 4
    assert found["error_rate"].to_list() == [1.0] * 4
    assert found["failure"].to_list() == [True] * 4
    assert summary(closed, found)["unparsed"] == 12


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 0, 0], [0, 0, 1], 1.0),
        ([0, 0, 1], [0, 1, 0], 0.0),
        ([0, 1, 0], [0, 1, 0], 0.5),
        ([0.5, 0.5, 0], [0, 1, 0], 0.75),
    ],
)
def test_an_image_is_better_as_surely_as_its_grade_is_higher(first, second, expected):
    assert first_is_better(np.array(first), np.array(second)) == pytest.approx(expected)


def test_pairs_are_compared_by_what_the_model_says_of_each_image(images, item_row):
    grade = {"i0": says(0.8, 0.1, 0.1), "i1": says(0.1, 0.1, 0.8)}
    model = Fake(lambda query: grade[query.images[0]])
    rows = [
        item_row("right", image_ids=["i0", "i1"], answer=FIRST, **PAIR),
        item_row("wrong", image_ids=["i1", "i0"], answer=FIRST, **PAIR),
    ]
    found = predict(model, images, table(rows, ITEM), **SETTINGS)
    assert found["answer"].to_list() == [FIRST, SECOND]
    assert found["correct"].to_list() == [True, False]
    assert found["probability_of_truth"].sum() == pytest.approx(1)
    assert {query.options for query in model.queries} == {quality_question("mri")[1]}


def test_pairs_are_compared_in_one_prompt_where_asked(images, item_row):
    model = Fake(lambda query: says(0.3, 0.7) if query.images == ("i0", "i1") else says(0.9, 0.1))
    rows = [
        item_row("closed", image_ids=["i2"]),
        item_row("a", image_ids=["i0", "i1"], answer=SECOND, **PAIR),
        item_row("b", image_ids=["i1", "i0"], answer=SECOND, **PAIR),
    ]
    found = predict(model, images, table(rows, ITEM), **SETTINGS | {"two_images": True})
    assert [query.images for query in model.queries] == [("i2",), ("i0", "i1"), ("i1", "i0")]
    assert model.queries[1] == Query(("i0", "i1"), PAIR["question"], (FIRST, SECOND))
    assert found["answer"].to_list() == ["Yes", SECOND, FIRST]
    assert found["probability_of_truth"].to_list() == pytest.approx([0.9, 0.7, 0.1])
    assert found["probabilities"].to_list()[1] == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize("two_images", [True, False])
def test_a_pair_of_which_nothing_could_be_read_has_no_answer_and_is_wrong(
    images, item_row, two_images
):
    rows = [item_row("a", image_ids=["i0", "i1"], answer=FIRST, **PAIR)]
    options = (FIRST, SECOND) if two_images else quality_question("mri")[1]
    model = Fake(votes("", "", options=options))
    found = predict(model, images, table(rows, ITEM), **SETTINGS | {"two_images": two_images})
    assert found["answer"].to_list() == [""]
    assert found["correct"].to_list() == [False]
    assert found["unparsed"].to_list() == [2 if two_images else 4]


def test_sampled_descriptions_show_how_stable_a_model_is(images, item_row):
    rows = [item_row(name, image_ids=[f"i{n}"], **OPENED) for n, name in enumerate("ab")]
    model = Fake(texts=(USABLE, REJECT, USABLE, USABLE, USABLE, USABLE, REJECT, REJECT))
    settings = SETTINGS | {"description_repeats": 3, "temperature": 0.7}
    found = predict(model, images, table(rows, ITEM), **settings)
    assert model.asked == [(DESCRIBE, 0.0, 1), (DESCRIBE, 0.7, 3)]
    # What is judged is the greedy text; of the second's draws one in three pairs agrees.
    assert found["text"].to_list() == [USABLE, REJECT]
    assert found["stability"].to_list() == pytest.approx([1.0, 1 / 3])
    assert summary(table([*rows, item_row("q")], ITEM), with_one(found))["stability"] == (
        pytest.approx(2 / 3)
    )


def with_one(described: pl.DataFrame) -> pl.DataFrame:
    """Predictions with one for the perception item q, without which there is no summary."""
    row = {"item_id": "q", "correct": True, "failure": False, "probabilities": [0.9, 0.1]}
    return pl.concat([described, table([row | {"unparsed": 0}], PREDICTION)])


class FakeJudge:
    """Answers the four calls for each description with the next texts of a list."""

    def __init__(self, *texts: str) -> None:
        self.texts = iter(texts)
        self.requests: list[Request] = []

    def ask(self, requests: list[Request]) -> list[Reply]:
        self.requests += requests
        return [Reply(next(self.texts), None, True) for _ in requests]


def test_a_second_judge_reads_the_same_descriptions(images, item_row):
    rows = [item_row(name, image_ids=["i0"], scene_id=name, **OPENED) for name in "ab"]
    second = FakeJudge("2", "1", "who knows", "0", "2", "2", "2", "2")
    model = Fake(texts=(USABLE, REJECT))
    found = predict(model, images, table(rows, ITEM), **SETTINGS, judged_by=second)
    assert USABLE in second.requests[0].text
    assert REJECT in second.requests[4].text
    assert found.select(f"llm_{axis}" for axis in AXES).rows() == [(2, 1, None, 0), (2, 2, 2, 2)]
    assert found["llm_unparsed"].to_list() == [1, 0]
    # The findings judge has its own say.
    assert found.select(AXES).row(0) == (2, 2, 2, 2)
    told = summary(table([*rows, item_row("q")], ITEM), with_one(found))["llm_judge"]
    assert told["completeness"] == 2.0
    assert told["consistency"] == 1.0  # what was not read counts as 0
    assert told["unparsed"]["consistency"] == 1
    assert told["agreement"]["completeness"]["n"] == 2


def test_a_judge_of_which_nothing_could_be_read_is_reported(images, item_row, opened):
    second = FakeJudge(*["?"] * 4)
    found = predict(Fake(texts=(USABLE,)), images, opened, **SETTINGS, judged_by=second)
    assert found["llm_unparsed"].to_list() == [4]
    rows = [*opened.to_dicts(), item_row("q")]
    told = summary(table(rows, ITEM), with_one(found))["llm_judge"]
    assert told["overall"] == 0.0
    assert told["unparsed"] == dict.fromkeys(AXES, 1)
    assert told["agreement"]["quality"]["kappa"] is None


def test_sampled_answers_are_seeded_by_item():
    def answers(item_id: str, seed: int) -> list[str]:
        return sample_answers(item_id, ["A", "B", "C"], np.full(3, 1 / 3), 30, 1.0, seed)

    assert answers("a", 1) == answers("a", 1)
    assert len({tuple(answers(*key)) for key in [("a", 1), ("b", 1), ("a", 2)]}) == 3


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.8), (0.5, 16 / 17), (2.0, 2 / 3)])
def test_answers_are_drawn_at_the_temperature(temperature, expected):
    answers = sample_answers("a", ["A", "B"], np.array([0.8, 0.2]), 2000, temperature, 1)
    assert answers.count("A") / 2000 == pytest.approx(expected, abs=0.045)


def test_an_impossible_option_is_never_drawn():
    answers = sample_answers("a", ["A", "B"], np.array([1.0, 0.0]), 200, 1.0, 1)
    assert set(answers) == {"A"}


def test_summary_counts_perception_by_slice_and_descriptions_apart(item_row):
    rows = [
        item_row("a", modality="mri"),
        item_row("b", modality="ct"),
        item_row("c", modality="ct"),
        item_row("d", task="description", question_type="", options=[], answer=""),
    ]
    given = [
        {
            "item_id": "c",
            "correct": False,
            "failure": True,
            "probabilities": [0.3, 0.7],
            "unparsed": 1,
        },
        {"item_id": "b", "correct": True, "failure": False, "probabilities": [0.8, 0.2]},
        {"item_id": "a", "correct": True, "failure": False, "probabilities": [0.9, 0.1]},
        {"item_id": "d", "completeness": 2, "preciseness": 1, "consistency": 2, "quality": 0},
    ]
    found = summary(table(rows, ITEM), table(given, PREDICTION))
    assert found["items"] == 3
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["failures"] == 1
    assert found["unparsed"] == 1
    confidences = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]
    assert found["calibration"] == reliability(np.array([1.0, 1.0, 0.0]), confidences)
    assert "stability" not in found
    assert "llm_judge" not in found
    assert found["accuracy_by"]["modality"] == {"ct": 0.5, "mri": 1.0}
    assert found["description"] == {
        "completeness": 2.0,
        "preciseness": 1.0,
        "consistency": 2.0,
        "quality": 0.0,
        "overall": 5.0,
    }


def test_recalibration_joins_items_and_predictions_by_id(item_row):
    rows = [
        item_row(f"q{n}", scene_id=f"s{n // 2}", answer=["Yes", "No"][n % 2], options=["Yes", "No"])
        for n in range(12)
    ]
    rows.insert(3, item_row("open", **OPENED))
    # Sure of what is right, and once of what is wrong.
    given = [
        {
            "item_id": f"q{n}",
            "answer": "Yes" if (n % 2 == 0) != (n == 5) else "No",
            "probabilities": [0.8, 0.2] if (n % 2 == 0) != (n == 5) else [0.2, 0.8],
        }
        for n in reversed(range(12))
    ]
    # Nothing could be read of this one: its even probabilities say nothing.
    rows.append(item_row("lost", scene_id="s9"))
    given.append({"item_id": "lost", "answer": "", "probabilities": [0.5, 0.5]})
    found = recalibration(table(rows, ITEM), table(given, PREDICTION), seed=1)
    assert found["items"] == 12
    assert found["groups"] == 6
    # One wrong answer in twelve is fewer than one in five.
    assert found["raw"]["brier"] == pytest.approx((11 * 0.2**2 + 0.8**2) / 12)
    assert found["parameters"]["temperature"] < 1


@pytest.fixture
def scattered(item_row, tmp_path) -> pl.DataFrame:
    """Items of every task, those of one image far apart."""
    rows = [
        item_row(f"q{n}", image_ids=[f"i{n % 4}"], options=["Yes", "No", "Maybe"][: 2 + n % 2])
        for n in range(9)
    ]
    rows += [item_row(f"open{n}", image_ids=[f"i{3 - n}"], **OPENED) for n in range(3)]
    rows += [item_row("pair", image_ids=["i3", "i0"], answer=FIRST, **PAIR)]
    order = np.random.default_rng(3).permutation(len(rows))
    return table([rows[int(place)] for place in order], ITEM)


@pytest.mark.parametrize("at_once", [1, 4, 1024])
def test_a_file_of_items_gives_the_predictions_of_all_items_in_their_order(
    model, images, scattered, tmp_path, monkeypatch, at_once
):
    monkeypatch.setattr(evaluation, "ITEMS_AT_ONCE", at_once)
    write(scattered, tmp_path / "items.parquet", ITEM)
    target = tmp_path / "deep" / "predictions.parquet"
    predict_file(model, images, tmp_path / "items.parquet", target, **SETTINGS)
    found, expected = read(target, PREDICTION), predict(model, images, scattered, **SETTINGS)
    assert found["item_id"].to_list() == scattered["item_id"].to_list()
    inexact = {"probabilities", "probability_of_truth", "nll"}
    same = [name for name in PREDICTION if name not in inexact]
    assert found.select(same).to_dicts() == expected.select(same).to_dicts()
    for ours, theirs in zip(found.to_dicts(), expected.to_dicts(), strict=True):
        for name in inexact:
            assert ours[name] == pytest.approx(theirs[name], abs=1e-5)
    assert [path.name for path in target.parent.iterdir()] == ["predictions.parquet"]


def test_items_of_one_image_are_asked_about_together(images, scattered, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "ITEMS_AT_ONCE", 4)
    write(scattered, tmp_path / "items.parquet", ITEM)
    model = Fake(
        lambda query: says(*[1 / len(query.options)] * len(query.options)), texts=(USABLE,) * 9
    )
    predict_file(model, images, tmp_path / "items.parquet", tmp_path / "p.parquet", **SETTINGS)
    order = [
        query.images[0] for query in model.queries if query.question != quality_question("mri")[0]
    ]
    assert order == sorted(order)


def test_a_file_without_items_gives_a_file_without_predictions(images, tmp_path):
    write(table([], ITEM), tmp_path / "items.parquet", ITEM)
    target = tmp_path / "predictions.parquet"
    predict_file(Fake(), images, tmp_path / "items.parquet", target, **SETTINGS)
    assert read(target, PREDICTION).is_empty()


def test_a_faulty_table_of_items_is_refused(images, items, tmp_path):
    items.drop("verdict").write_parquet(tmp_path / "items.parquet")
    with pytest.raises(TableError, match=r"items\.parquet: column 'verdict'"):
        predict_file(Fake(), images, tmp_path / "items.parquet", tmp_path / "p.parquet", **SETTINGS)


def test_a_run_that_dies_leaves_the_predictions_before(images, items, tmp_path):
    write(items, tmp_path / "items.parquet", ITEM)
    target = tmp_path / "predictions.parquet"
    target.write_bytes(b"before")

    def dies(query: Query) -> Scored:
        raise KeyError(query.question)

    with pytest.raises(KeyError):
        predict_file(Fake(dies), images, tmp_path / "items.parquet", target, **SETTINGS)
    assert target.read_bytes() == b"before"
