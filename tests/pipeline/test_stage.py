import pytest

from medq_engine.tables import TableError
from pipeline import stage


def test_an_error_for_the_user_is_shown_without_a_traceback():
    def main() -> None:
        raise TableError("pool.parquet: column 'image' is missing")

    with pytest.raises(SystemExit) as stopped:
        stage.run(main)
    assert stopped.value.code == "\npool.parquet: column 'image' is missing\n"


def test_a_defect_keeps_its_traceback():
    def main() -> None:
        raise KeyError("image")

    with pytest.raises(KeyError):
        stage.run(main)
