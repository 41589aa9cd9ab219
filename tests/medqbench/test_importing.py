from pathlib import Path

import pytest

from medq_engine import dedup
from medq_engine.descriptions import COMPARE, DESCRIBE
from medq_engine.medqbench.exporting import export_folder
from medq_engine.medqbench.files import ExchangeError
from medq_engine.medqbench.importing import import_folder
from medq_engine.simulation import content_id, from_png
from tests.medqbench.miniature_medqbench import (
    GOOD,
    NASTY,
    PICTURES,
    QA,
    edited,
    encoded,
    items_of,
    make_benchmark,
    make_foreign,
    picture,
    qa_row,
    read_tables,
    write_tsv,
)


@pytest.fixture
def foreign(tmp_path) -> Path:
    return make_foreign(tmp_path / "foreign")


@pytest.fixture
def exported(tmp_path, item_row) -> Path:
    export_folder(make_benchmark(tmp_path / "benchmark", item_row), tmp_path / "tsv")
    return tmp_path / "tsv"


def test_a_foreign_folder_is_imported(foreign, tmp_path):
    done = import_folder(foreign, tmp_path / "out")
    assert done.faults == ()
    assert done.counts == {"dev": (8, 3), "test": (3, 2)}
    assert done.ignored == ("medqbench_QA.tsv",)
    first, second, third, fourth = map(content_id, PICTURES)
    items = items_of(tmp_path / "out")
    noise = items["medqbench-dev-perception-1"]
    assert noise == {
        "item_id": "medqbench-dev-perception-1",
        "task": "perception",
        "image_ids": [first],
        "question": "Is there noise?",
        "options": ["Yes", "No"],
        "answer": "Yes",
        "question_type": "yes-no",
        "modality": "mri",
        "subject_id": first,
        "scene_id": first,
        "origin": "medqbench",
        **dict.fromkeys(("attribute", "severity", "scope", "reference", "verdict"), ""),
        "findings": [],
    }
    how = items["medqbench-dev-perception-2"]
    assert (how["options"], how["answer"], how["question_type"], how["image_ids"]) == (
        ["None", "Severe"],
        "Severe",
        "how",
        [first],
    )
    assert items["medqbench-dev-perception-3"]["answer"] == "Ring"
    assert items["medqbench-dev-perception-7"]["question"] == NASTY.strip()
    # Without a column for it, the modality is that of the image's other rows, then of the text.
    said = items["medqbench-dev-description-x2"]
    assert (said["modality"], said["verdict"], said["question"]) == ("mri", "reject", DESCRIBE)
    pair = items["medqbench-dev-comparison-0"]
    assert (pair["image_ids"], pair["options"]) == ([second, fourth], [])
    assert (pair["answer"], pair["question_type"]) == ("second image", "")
    assert (pair["modality"], pair["question"]) == ("histopathology", COMPARE)
    assert items["medqbench-dev-comparison-1"]["image_ids"] == [second, first]
    assert items["medqbench-dev-comparison-1"]["answer"] == ""
    tests = items_of(tmp_path / "out", "test")
    assert tests["medqbench-test-description-0"]["question"] == "Describe it."
    assert tests["medqbench-test-description-1"]["question"] == DESCRIBE
    assert tests["medqbench-test-description-1"]["modality"] == "fundus"
    assert tests["medqbench-test-comparison-5"]["image_ids"] == [fourth, third]


def test_images_keep_their_bytes_and_bring_their_hashes(foreign, tmp_path):
    import_folder(foreign, tmp_path / "out")
    found = read_tables(tmp_path / "out")
    record = found["test/records.parquet"][0]
    assert record["image"]["bytes"] == PICTURES[2]
    assert record == {
        "image_id": content_id(PICTURES[2]),
        "image": {"bytes": PICTURES[2], "path": f"{content_id(PICTURES[2])}.jpeg"},
        "modality": "fundus",
        "subject_id": content_id(PICTURES[2]),
        **dict.fromkeys(("source", "origin", "licence"), "medqbench"),
        "width": 12,
        "height": 9,
    }
    bits = dedup.perceptual_hashes([from_png(PICTURES[2])])
    assert {"image_id": record["image_id"], "phash": dedup.to_hex(bits)[0]} in found[
        "hashes.parquet"
    ]
    assert len(found["hashes.parquet"]) == 5


STRANGER = "A" * 100


@pytest.mark.parametrize(
    ("rows", "faults"),
    [
        ([qa_row(image="%" * 100)], ["3: not base64"]),
        ([qa_row(image=STRANGER)], ["3: not a whole image of a known format"]),
        ([qa_row(image=encoded(picture(9)[:-30]))], ["3: not a whole image"]),
        ([qa_row(image="0", answer="C")], ["3: answer 'C' is no option"]),
        ([qa_row(image="0", answer="x")], ["3: answer 'X' is no option"]),
        ([qa_row(image="0", answer="4")], ["3: answer '4' is no option"]),
        ([qa_row(image="0", answer="")], ["3: answer '' is no option"]),
        ([qa_row(image="0", B="")], ["3: 1 options, not 2 to 4"]),
        ([qa_row(image="0", B="x ")], ["3: two options are the same"]),
        ([qa_row(image="0", question=" ")], ["3: no question"]),
        ([qa_row(image="0", modality="PET")], ["3: unknown modality 'PET'"]),
        ([qa_row(image="")], ["3: 0 images, not 1"]),
        ([qa_row(image="8")], ["3: image refers to index '8', which is not there"]),
        (
            [qa_row(1, image="2"), qa_row(2, image="1"), qa_row(3, image="3")],
            ["3: image refers to itself by way of '1', '2'", "4: image refers", "5: image refers"],
        ),
        (
            [qa_row(1, image=STRANGER), qa_row(2, image="1")],
            ["3: not a whole image", "4: image refers to: not a whole image"],
        ),
        ([qa_row(0, image="0")], ["3: index '0' is that of line 2 too"]),
        ([qa_row("", image="0")], ["3: no index"]),
        ([qa_row(image="0")[:-1]], ["3: 8 fields, the header has 9"]),
        ([[*qa_row(image="0"), ""]], ["3: 10 fields, the header has 9"]),
        ([[], qa_row(image="0", question="a\nb"), qa_row(2)], ["6: 0 images, not 1"]),
    ],
)
def test_a_faulty_row_is_told_by_line_and_stops_nothing_else(tmp_path, rows, faults):
    after = qa_row("last", image="0")
    write_tsv(tmp_path / "medqbench_QA_test.tsv", QA, [GOOD, *rows, after])
    done = import_folder(tmp_path, tmp_path / "out")
    assert len(done.faults) == len(faults)
    for fault, start in zip(done.faults, faults, strict=True):
        assert str(fault).startswith(f"medqbench_QA_test.tsv:{start}")
    listed = (tmp_path / "out" / "import-faults.txt").read_text(encoding="utf-8")
    assert listed.splitlines() == [str(fault) for fault in done.faults]
    items = items_of(tmp_path / "out", "test")
    assert {"medqbench-test-perception-0", "medqbench-test-perception-last"} <= items.keys()
    expected = 2 + sum(len(row) > 0 for row in rows) - len(faults)
    assert done.counts == {"test": (expected, 1)}


@pytest.mark.parametrize(
    "path", ["../picture.png", "images/../../picture.png", "/picture.png", "none.png", "['a', 'b']"]
)
def test_a_path_stays_in_the_folder(tmp_path, path):
    folder = tmp_path / "folder"
    (folder / "images").mkdir(parents=True)
    for place in (tmp_path, folder):
        (place / "picture.png").write_bytes(picture(0))
    path = path.replace("/picture", f"{tmp_path}/picture") if path[0] == "/" else path
    rows = [(0, path, "A CT image."), (1, "picture.png", "A CT image.")]
    write_tsv(
        folder / "medqbench_description_dev.tsv", ("index", "image_path", "description"), rows
    )
    done = import_folder(folder, tmp_path / "out")
    assert [fault.line for fault in done.faults] == [2]
    assert done.counts == {"dev": (1, 1)}


@pytest.mark.parametrize("field", ["['a.png'", "[__import__('os')]", "[1, 2]", "['only.png']"])
def test_a_malformed_list_of_paths_is_a_fault(tmp_path, field):
    rows = [(0, field, "CT.")]
    name = "medqbench_paired_description_dev.tsv"
    write_tsv(tmp_path / name, ("index", "image_path", "description"), rows)
    with pytest.raises(ExchangeError, match=r"dev.tsv:2: (image_path is not a list|1 images)"):
        import_folder(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("texts", "faults"),
    [
        (["Blurred.", "Noisy."], 2),
        (["A CT or an MRI image.", "Noisy."], 2),
        (["Noisy.", "A CT image."], 0),
    ],
    ids=["none is named", "two are named", "another row names it"],
)
def test_a_modality_must_be_named_somewhere(tmp_path, texts, faults):
    data = encoded(picture(0))
    rows = [(0, data, texts[0]), (1, "0", texts[1]), (2, encoded(picture(1)), "A CT image.")]
    write_tsv(tmp_path / "medqbench_description_dev.tsv", ("index", "image", "description"), rows)
    done = import_folder(tmp_path, tmp_path / "out")
    assert ["modality" in fault.what for fault in done.faults] == [True] * faults


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index\timage\tquestion\tA\tB\n", "1: column 'answer' is missing"),
        ("index\tquestion\tA\tB\tanswer\n", "1: column 'image' is missing"),
        ("index\timage\timage\n", "1: two columns have the same name"),
        ("", "1: no header"),
        ('index\timage\tquestion\tA\tB\tanswer\n"1\tx\n2\n', "2: not tab-separated fields"),
        ("index\timage\tquestion\tA\tB\tanswer\n1\t2\t\udcff\tx\ty\tA\n", "2: not UTF-8"),
    ],
)
def test_a_broken_file_stops_no_other(tmp_path, text, message):
    broken = tmp_path / "medqbench_QA_dev.tsv"
    broken.write_bytes(text.encode("utf-8", "surrogateescape"))
    rows = [(0, encoded(picture(0)), "A CT image.")]
    write_tsv(tmp_path / "medqbench_description_dev.tsv", ("index", "image", "description"), rows)
    done = import_folder(tmp_path, tmp_path / "out")
    assert [str(fault).startswith(f"{broken.name}:{message}") for fault in done.faults] == [True]
    assert done.counts == {"dev": (1, 1)}


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    path = tmp_path / "medqbench_QA_dev.tsv"
    write_tsv(path, QA, [GOOD])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert import_folder(tmp_path, tmp_path / "out").faults == ()


@pytest.mark.parametrize(
    ("file", "changes", "what"),
    [
        ("QA", {"medq_findings": "[{"}, "medq_findings is not a List"),
        ("QA", {"medq_findings": '[{"label": "blur"}]'}, "medq_findings is not a List"),
        ("QA", {"medq_item_id": "d"}, "item 'd' is there twice"),
        ("QA", {"index": "one"}, "index 'one' is not a number"),
        ("records", {"modality": "PET"}, "unknown modality 'PET'"),
        ("records", {"image_id": "f" * 16}, "no row holds image 'ffffffffffffffff'"),
        ("records", {"image": encoded(picture(77))}, "the image is not"),
    ],
)
def test_a_fault_in_a_column_of_ours_is_told(exported, tmp_path, file, changes, what):
    edited(exported / f"medqbench_{file}_dev.tsv", 2 if file == "QA" else 0, **changes)
    done = import_folder(exported, tmp_path / "back")
    assert [what in fault.what for fault in done.faults] == [True]
    assert done.counts["gate"] == (1, 1)


def test_an_edited_text_is_imported_as_edited(exported, tmp_path):
    edited(exported / "medqbench_description_dev.tsv", 0, description="New text.")
    import_folder(exported, tmp_path / "back")
    assert items_of(tmp_path / "back")["d"]["reference"] == "New text."


def test_only_what_an_import_made_is_replaced(foreign, tmp_path):
    out = tmp_path / "deep" / "out"
    import_folder(foreign, out)
    before = read_tables(out)
    for path in foreign.glob("*_test.tsv"):
        path.unlink()
    import_folder(foreign, out)
    assert {name for name in before if "test" not in name} == read_tables(out).keys()
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ExchangeError, match="holds what no import has made"):
        import_folder(foreign, out)
    (out / "notes.txt").unlink()
    (out / "import-faults.txt").unlink()
    with pytest.raises(ExchangeError, match="holds what no import has made"):
        import_folder(foreign, out)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_import_of_nothing_leaves_the_last_one(foreign, tmp_path):
    import_folder(foreign, tmp_path / "out")
    before = read_tables(tmp_path / "out")
    for path in foreign.glob("*.tsv"):
        path.unlink()
    with pytest.raises(ExchangeError, match="none of MedQ-Bench's files"):
        import_folder(foreign, tmp_path / "out")
    write_tsv(foreign / "medqbench_QA_dev.tsv", QA, [qa_row(image="7")])
    with pytest.raises(ExchangeError, match=r"no row can be imported\nmedqbench_QA_dev.tsv:2: "):
        import_folder(foreign, tmp_path / "out")
    assert read_tables(tmp_path / "out") == before
