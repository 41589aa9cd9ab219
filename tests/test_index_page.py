"""The page over all rounds: from tags alone, complete, harmless, honest about simulations."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
from PIL import Image

from medq_engine import index_page, learning
from medq_engine.rounds import RoundError, git
from tests.closed_repository import Repository
from tests.made_rounds import made

HOSTILE = "<script>alert(1)</script>\n‮\"'🩻"


class Tables(HTMLParser):
    """Cells of every table by its caption, as a reader sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.text = None

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.row = []
        if tag in ("caption", "td", "th"):
            self.text = ""
        if tag == "br":
            self.text += " "

    def handle_data(self, data):
        if self.text is not None:
            self.text += data

    def handle_endtag(self, tag):
        if tag == "caption":
            self.rows = self.tables.setdefault(" ".join(self.text.split()), [])
        if tag in ("td", "th"):
            self.row.append(" ".join(self.text.split()))
        if tag == "tr":
            self.rows.append(self.row)
        if tag in ("caption", "td", "th"):
            self.text = None


def tables_of(html: str) -> dict[str, list[list[str]]]:
    reader = Tables()
    reader.feed(html)
    return reader.tables


def starting(tables, words: str) -> list[list[str]]:
    return next(rows for caption, rows in tables.items() if caption.startswith(words))


def plain(html: str) -> str:
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(body).split())


@pytest.fixture(scope="module")
def rows():
    return made("inconclusive", "pass", "fail")


@pytest.fixture(scope="module")
def html(rows):
    return index_page.render(rows, {"round-001"})


@pytest.fixture
def undrawn(monkeypatch):
    """Renders without drawing: for what is said, one pixel does."""
    pixel = Image.new("RGB", (1, 1))
    monkeypatch.setattr(learning, "curve", lambda rows, path: pixel.save(path))
    monkeypatch.setattr(learning, "forest", lambda rows, split, path: pixel.save(path))
    return index_page.render


def test_the_head_says_what_is_in_force_and_how_far_it_came(html):
    text = plain(html)
    assert "In force after round-003 challenger of round-002 commit 0000000002" in text
    assert "50.0% → 53.0% +3.0 (+1.0 to +5.0) points" in text
    assert "Labels so far 120 in 3 rounds" in text
    assert "22 minutes 45.00 USD for all labels" in text


def test_every_round_is_a_row_with_its_numbers(html):
    _, first, second, third = starting(tables_of(html), "Every closed round")
    assert first[:5] == ["round-001", "0000000001 2026-03-01", "40 (10)", "40", "8 15.00 USD"]
    assert first[5:-1] == ["+1.0 (-1.0 to +3.0)", "inconclusive", "51.0%", "50.0%"]
    assert first[-1] == "+0.0 (-2.0 to +2.0)"
    assert [second[0], second[6], second[8]] == ["round-002", "pass", "53.0%"]
    assert [third[0], third[6], third[8]] == ["round-003", "fail", "53.0%"]


def test_only_reports_that_are_there_are_linked(html):
    assert re.findall(r'href="(.*?)"', html) == ["round-001.html"]
    assert "git checkout round-002 && dvc checkout" in plain(html)


def test_slices_cost_quality_lineage_and_params_are_in_tables(html):
    tables = tables_of(html)
    slices = {row[0]: row[1:] for row in starting(tables, "Challenger less incumbent on test")}
    assert slices["Slice"] == ["round-001", "round-002", "round-003"]
    assert slices["modality: CT"][1] == "+3.0 (+1.0 to +5.0)"
    cost = starting(tables, "All labels (minutes and money are those of simulated readers too)")
    assert cost[2] == ["round-002", "40", "8", "15.00 USD", "40", "8", "30.00 USD"]
    assert starting(tables, "Wrong answers of the model")[1][1:] == ["6 of 10", "3.1 (1.2 to 5.0)"]
    assert starting(tables, "By what readings were for")[1] == ["label", "10", "8", "45.00 USD"]
    agreement = starting(tables, "Two readers")[1]
    assert agreement[4:] == ["0.81 (0.60 to 0.95)", "-", "0.80 (0.70 to 0.90)"]
    assert starting(tables, "Gold tasks")[2][1:3] == ["dr-a", "9 of 10"]
    lineage = starting(tables, "What went into each round")
    assert lineage[0][2:] == [*index_page.LINEAGE.values()]
    assert [row[5:7] for row in lineage[1:]] == 3 * [["22222222", "-"]]
    assert len({row[-1] for row in lineage[1:]}) == 3
    assert [row[0:4] for row in starting(tables, "params.yaml")[1:]] == [
        ["round-002", "finetune.steps", "400", "800"],
        ["round-003", "finetune.steps", "800", "1200"],
    ]


def test_baselines_stand_beside_and_other_benchmarks_apart(html):
    tables = tables_of(html)
    compared = starting(tables, "Accuracy on the test items of this benchmark")
    assert [row[0] for row in compared[1:]] == [
        "model in force (round-002)",
        "base",
        "simulated GPT-4o",
        "simulated expert",
    ]
    assert compared[3][2:] == ["61.7%", "-8.7"]
    assert starting(tables, "Published")[1] == ["GPT-4o", "64.79", "another benchmark"]


def test_published_rows_of_the_same_test_items_stand_beside(undrawn):
    (one,) = made("pass")
    one.published[0] = one.published[0] | {"test_md5": one.test_md5}
    html = undrawn([one], ())
    assert starting(tables_of(html), "Accuracy on the test items")[-1] == [
        "GPT-4o, published",
        "400",
        "64.8%",
        "-11.8",
    ]
    assert "Another benchmark" not in plain(html)


def test_the_page_asks_for_nothing_and_its_pictures_have_words(html):
    assert not re.search(r'(?:src|href)="(?!data:image/|round-001\.html)', html)
    assert "default-src 'none'" in html
    images = re.findall(r"<img[^>]*>", html)
    assert len(images) == 2
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)


def test_simulations_are_named_and_people_are_not(html, undrawn):
    assert "Simulated, not measured on people: the answers and minutes of expert (simulated)." in (
        plain(html)
    )
    text = plain(undrawn(made("pass", people=("dr-a",)), ()))
    assert "Spent on experts so far" in text
    assert "No simulated reader answered a batch of these rounds." in text


def test_one_round_that_did_not_pass_reads_well(undrawn):
    text = plain(undrawn(made("inconclusive"), ()))
    assert "In force after round-001 the base no challenger has passed yet" in text
    assert "it is the base: no change" in text
    assert "There is one round so far." in text


def test_a_round_from_before_costs_and_gold_tasks_were_recorded(undrawn):
    (row,) = made("pass")
    old = {k: v for k, v in row.labels.items() if k not in ("ledger", "quality")}
    text = plain(undrawn([replace(row, metrics={**row.metrics, "annotate_import": old})], ()))
    assert "No closed round has recorded its cost." in text
    assert "No closed round has gold tasks or double readings." in text


def test_values_that_could_not_be_computed_are_dashes(undrawn):
    (row,) = made("pass")
    row.labels["ledger"]["random"] |= dict.fromkeys(("corrected", "corrected_low"))
    row.labels["ledger"]["total"]["by_route"]["expert"] |= {"money_per_label": None}
    row.labels["noise"]["rate"] = None
    tables = tables_of(undrawn([row], ()))
    assert starting(tables, "Wrong answers of the model")[1][2] == "-"
    assert starting(tables, "By route")[1][-1] == "-"
    assert starting(tables, "Double readings")[1][-1] == "-"


def test_rounds_on_other_test_items_are_not_on_the_curve(rows, undrawn):
    first = replace(rows[0], data={**rows[0].data, "data/benchmark/test": {"md5": "d" * 32}})
    mixed = [first, *rows[1:]]
    html = undrawn(mixed, ())
    assert "Left out of the figures: round-001." in plain(html)
    assert len(starting(tables_of(html), "Every closed round")) == 4
    assert "Left out of the figures" not in plain(undrawn(rows, ()))


def test_what_people_wrote_is_text(undrawn):
    html = undrawn(made("pass", people=(HOSTILE + "(simulated)",)), ())
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_file_is_made_from_tags_and_not_from_the_folder(tmp_path, undrawn):
    repository = Repository(tmp_path)
    repository.close("inconclusive")
    repository.close("pass")
    repository.write("metrics/gate.json", {})
    repository.write("reports/round-002.html", "report")
    path = index_page.write(tmp_path)
    assert path == tmp_path / "reports" / "index.html"
    html = path.read_text(encoding="utf-8")
    assert 'href="round-002.html"' in html
    assert 'href="round-001.html"' not in html
    assert git(tmp_path, "rev-parse", "--short=10", "round-002") in html
    once = path.read_bytes()
    assert index_page.write(tmp_path).read_bytes() == once


def test_without_a_closed_round_the_error_says_what_closes_one(git_root):
    with pytest.raises(RoundError, match="medq close"):
        index_page.write(git_root)
    assert not (git_root / "reports").exists()
