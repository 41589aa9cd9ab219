import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from medq_engine import cli, tables
from medq_engine.medqbench.exporting import export_folder
from medq_engine.medqbench.files import MISSING_IN_PANDAS, guard, unguard, whole_folder
from medq_engine.medqbench.importing import import_folder
from tests.medqbench.miniature_medqbench import (
    GOOD,
    PICTURES,
    QA,
    contents,
    encoded,
    items_of,
    make_benchmark,
    make_foreign,
    qa_row,
    read_tables,
    record_row,
    write_benchmark,
    write_tsv,
)


@pytest.fixture
def exported(tmp_path, item_row) -> Path:
    export_folder(make_benchmark(tmp_path / "benchmark", item_row), tmp_path / "tsv")
    return tmp_path / "tsv"


@pytest.fixture
def foreign(tmp_path) -> Path:
    return make_foreign(tmp_path / "foreign")


def test_what_is_exported_comes_back_as_it_was(benchmark, exported, tmp_path):
    done = import_folder(exported, tmp_path / "back")
    assert done.faults == ()
    assert done.counts == {"dev": (6, 3), "gate": (1, 1)}
    for path in benchmark.rglob("*.parquet"):
        schema = tables.ITEM if path.stem == "items" else tables.RECORD
        back = tables.read(tmp_path / "back" / path.relative_to(benchmark), schema)
        assert tables.read(path, schema).equals(back)


def test_what_is_imported_is_exported_byte_by_byte(exported, tmp_path):
    import_folder(exported, tmp_path / "back")
    export_folder(tmp_path / "back", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(exported)
    assert len(contents(exported)) == 6


def test_a_split_without_items_comes_back(tmp_path):
    folder = write_benchmark(tmp_path / "benchmark", [], [record_row(PICTURES[0])])
    export_folder(folder, tmp_path / "tsv")
    assert import_folder(tmp_path / "tsv", tmp_path / "back").counts == {"dev": (0, 1)}
    assert read_tables(tmp_path / "back")["dev/records.parquet"] == [record_row(PICTURES[0])]


def test_a_foreign_folder_is_stable_after_its_first_import(foreign, tmp_path):
    import_folder(foreign, tmp_path / "one")
    export_folder(tmp_path / "one", tmp_path / "tsv")
    assert import_folder(tmp_path / "tsv", tmp_path / "two").faults == ()
    assert read_tables(tmp_path / "one") == read_tables(tmp_path / "two")


@pytest.mark.parametrize("word", [*MISSING_IN_PANDAS, "None ", "nan  ", "none", " NA", "x"])
def test_no_word_is_missing_to_pandas(word):
    assert unguard(guard(word)) == word
    assert pd.read_csv(io.StringIO(f"a\n{guard(word)}\n"), sep="\t")["a"].notna().all()


def test_a_field_may_be_longer_than_csv_allows(tmp_path):
    limit = csv.field_size_limit()
    image = Image.effect_noise((400, 400), 50)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    text = encoded(buffer.getvalue())
    assert len(text) > limit
    rows = [(0, text, "A CT image.")]
    write_tsv(tmp_path / "medqbench_description_dev.tsv", ("index", "image", "description"), rows)
    assert import_folder(tmp_path, tmp_path / "out").counts == {"dev": (1, 1)}
    assert csv.field_size_limit() == limit


def test_a_folder_is_made_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    with pytest.raises(IsADirectoryError), whole_folder(out) as made:
        made.write_text("a folder is no file", encoding="utf-8")
    with pytest.raises(FileNotFoundError), whole_folder(out) as made:
        made.rmdir()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "out",
        "out/old",
    ]
    with whole_folder(out) as made:
        (made / "new").touch()
    assert [path.name for path in out.iterdir()] == ["new"]


def test_the_commands_go_there_and_back(benchmark, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    benchmark.rename(tmp_path / "data" / "benchmark")
    cli.main(["export-medqbench", "--out", "tsv"])
    assert capsys.readouterr().out == "exported to tsv: dev 6 items, gate 1 items\n"
    with pytest.raises(SystemExit, match="benchmark holds what no import has made"):
        cli.main(["import-medqbench", "tsv"])
    (tmp_path / "data" / "benchmark").rename(tmp_path / "data" / "old")
    cli.main(["import-medqbench", "tsv"])
    said = "imported into data/benchmark: dev 6 items, 3 images; gate 1 items, 1 images\n"
    assert capsys.readouterr().out == said
    cli.main(["export-medqbench", "--benchmark", "data/old", "--out", "again"])
    assert contents(tmp_path / "again") == contents(tmp_path / "tsv")


def test_the_import_command_lists_faults_and_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tsv(tmp_path / "medqbench_QA_dev.tsv", QA, [GOOD, qa_row(image="0", answer="D")])
    write_tsv(tmp_path / "medqbench_QA_val.tsv", QA, [GOOD])
    with pytest.raises(SystemExit) as stop:
        cli.main(["import-medqbench", ".", "--out", "out"])
    # A text as the code: the interpreter prints it on stderr and exits with 1.
    assert stop.value.code.splitlines() == [
        "medq import-medqbench: imported into out: dev 1 items, 1 images",
        "not read, of no split that is known: medqbench_QA_val.tsv",
        "faults, also in out/import-faults.txt: 1",
        "medqbench_QA_dev.tsv:3: answer 'D' is no option",
    ]
    assert capsys.readouterr().out == ""
    assert len(items_of(tmp_path / "out")) == 1
