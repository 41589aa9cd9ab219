import io
import json

import pandas as pd
import pytest
from PIL import Image

from medq_engine.medqbench.exporting import export_folder
from medq_engine.medqbench.files import ExchangeError
from medq_engine.simulation import content_id
from tests.medqbench.miniature_medqbench import (
    NASTY,
    PICTURES,
    encoded,
    picture,
    record_row,
    write_benchmark,
)


def test_pandas_reads_an_export_as_vlmevalkit_does(benchmark, tmp_path):
    export_folder(benchmark, tmp_path / "tsv")
    frame = pd.read_csv(tmp_path / "tsv" / "medqbench_QA_dev.tsv", sep="\t")
    assert list(frame.columns[:10]) == [
        *("index", "image", "image_path", "question", "A", "B", "C", "D", "answer", "modality")
    ]
    assert frame["index"].tolist() == [1, 3, 4]
    # Written once; the third row refers to the first by its index.
    assert frame["image"].tolist() == [encoded(PICTURES[1]), encoded(PICTURES[0]), "1"]
    assert frame["image_path"][0] == f"{content_id(PICTURES[1])}.png"
    assert frame["answer"].tolist() == ["A", "A", "C"]
    # The option "None" must not be read as missing, the options that are missing must.
    assert [option.strip() for option in frame.loc[1, ["A", "B", "C"]]] == [
        "None",
        "Mild",
        "Severe",
    ]
    assert frame["D"].isna().tolist() == [True, True, False]
    assert frame["question"][2] == f" {NASTY} "
    assert frame["C"][2] == NASTY
    pairs = pd.read_csv(tmp_path / "tsv" / "medqbench_paired_description_dev.tsv", sep="\t")
    # VLMEvalKit follows no reference in a pair, and names its pictures by a list of two paths.
    assert pairs["image_a"].tolist() == [encoded(PICTURES[1])] * 2
    assert pairs["image_b"].tolist() == [encoded(PICTURES[0])] * 2
    names = [f"{content_id(data)}.png" for data in (PICTURES[1], PICTURES[0])]
    assert json.loads(pairs["image_path"][0]) == names
    assert pairs["description"].notna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "essay"}, "item x: task 'essay' has no file"),
        ({"options": ["a"], "answer": "a"}, "item x: 1 options, not 2 to 4"),
        ({"options": list("abcde"), "answer": "a"}, "item x: 5 options, not 2 to 4"),
        ({"options": ["a", "a"], "answer": "a"}, "item x: two options are the same"),
        ({"answer": "Perhaps"}, "item x: answer 'Perhaps' is no option"),
        ({"image_ids": ["a" * 16]}, "item x: an image without a record"),
        ({"image_ids": []}, "item x: 0 images, not 1"),
        ({"modality": "pet"}, "item x: unknown modality 'pet'"),
        ({"question": " "}, "item x: no question"),
        ({"attribute": None}, "column 'attribute' has missing values"),
    ],
)
def test_an_item_that_would_not_come_back_is_not_exported(item_row, tmp_path, change, message):
    row = item_row("x", image_ids=[content_id(PICTURES[0])]) | {"findings": []} | change
    folder = write_benchmark(tmp_path / "benchmark", [row], [record_row(PICTURES[0])])
    with pytest.raises(ExchangeError, match=f"items.parquet: {message}"):
        export_folder(folder, tmp_path / "tsv")
    assert [path.name for path in tmp_path.iterdir()] == ["benchmark"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": "b" * 16}, "is not its image's content id"),
        ({"width": 5}, "is 12 x 9 pixels"),
        ({"modality": "pet"}, "unknown modality"),
        ({"licence": None}, "column 'licence' has missing values"),
    ],
)
def test_a_record_that_would_not_come_back_is_not_exported(tmp_path, change, message):
    folder = write_benchmark(tmp_path / "benchmark", [], [record_row(PICTURES[0], **change)])
    with pytest.raises(ExchangeError, match=message):
        export_folder(folder, tmp_path / "tsv")


def test_an_image_as_short_as_a_reference_is_not_exported(tmp_path):
    data = picture(0, "GIF", (1, 1))
    short = next(data[:n] for n in range(20, 49) if _is_image(data[:n]))
    folder = write_benchmark(tmp_path / "benchmark", [], [record_row(short)])
    with pytest.raises(ExchangeError, match="too short"):
        export_folder(folder, tmp_path / "tsv")


def _is_image(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).load()
    except (OSError, SyntaxError):
        return False
    return True


def test_an_export_goes_into_an_empty_folder_only(benchmark, tmp_path):
    (tmp_path / "empty").mkdir()
    export_folder(benchmark, tmp_path / "empty")
    with pytest.raises(ExchangeError, match="not an empty folder"):
        export_folder(benchmark, tmp_path / "empty")
    with pytest.raises(ExchangeError, match="none of the folders dev, gate, test"):
        export_folder(tmp_path / "empty", tmp_path / "tsv")
