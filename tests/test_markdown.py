import pytest
from markdown_it import MarkdownIt

from medq_engine.markdown import escape, one_line, table

HOSTILE = {
    "pipe": "a | b || c \\| d \\\\| e",
    "lines": "one\ntwo\r\nthree\u2028four\vfive",
    "html": "<script>alert(1)</script> <img src=x onerror=alert(1)> <!-- x -->",
    "entity": "&lt;b&gt; &#124; &amp;",
    "code": "`a` ``b | c`` ```\nd\n```",
    "emphasis": "*a* **b** _c_ __d__ ~~e~~",
    "link": "[a](http://x.example) ![b](http://x.example/b.png) <http://x.example> [c]: d",
    "heading": "# a\n\n- b\n\n1. c\n\n> d\n\n---\n\n    e",
    "formula": "$a$ $$b$$ $`c`$",
}


def rendered(text: str) -> str:
    """Markdown as people see it, cells parted by bars; what is no text shows as its kind."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    cells = [token.children for token in parsed.parse(text) if token.type == "inline"]
    shown = (
        "".join(part.content if part.type == "text" else f"[{part.type}]" for part in cell)
        for cell in cells
    )
    return "|".join(shown).replace("\u200b", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_shown_as_text_in_a_line_and_in_a_table(name):
    text = HOSTILE[name]
    expected = one_line(text, 200)
    assert rendered(f"said: {escape(text, 200)} end") == f"said: {expected} end"
    made = table(("who", "said"), [("a", text), ("b", "fine")], 200)
    assert len(made.splitlines()) == 4
    assert rendered(made) == f"who|said|a|{expected}|b|fine"


def test_bare_addresses_and_mentions_are_cut_in_two():
    shown = escape("see http://x.example or www.x.example, mail a@x.example; @octocat #12 GH-12")
    assert "http://" not in shown
    assert "www.x" not in shown
    for whole in ("@x", "@octocat", "#12", "GH-12"):
        assert whole not in shown
    bare = shown.replace("\u200b", "").replace("\\", "")
    assert bare.endswith("mail a@x.example; @octocat #12 GH-12")


def test_the_reading_direction_cannot_be_turned_and_nothing_hides():
    assert one_line("safe\u202egnp.exe\u2066\u200b") == "safe\ufffdgnp.exe\ufffd\ufffd"
    assert one_line("bell\x07 and\x00nul") == "bell and nul"


def test_other_scripts_and_emoji_stay():
    text = "\u062d\u0633\u0646 \u0645\u06cc\u200c\u062e\u0648 画像 Łukasz 👩\u200d⚕️"
    assert one_line(text) == text


def test_a_megabyte_is_shortened():
    assert one_line("a" * 2**20, 20) == "a" * 19 + "…"
    assert one_line(" " * 2**20 + "late", 20) == "…"
    assert len(table(("x",), [("|" * 2**20,)])) < 500


def test_text_that_fits_is_not_cut():
    assert one_line("a" * 20, 20) == "a" * 20
    assert one_line("a" * 21, 20) == "a" * 19 + "…"


def test_numbers_stand_to_the_right():
    assert table(("a", "b"), [("x", 1), ("y", 2.5)]).splitlines()[1] == "| --- | ---: |"
