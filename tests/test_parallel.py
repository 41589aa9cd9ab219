import os

from threadpoolctl import threadpool_info, threadpool_limits

from medq_engine.parallel import map_indices


def square(index: int) -> tuple[int, int]:
    return index * index, os.getpid()


def most_threads(_: int) -> int:
    import numpy  # noqa: F401 - brings the library whose threads are counted

    return max((pool["num_threads"] for pool in threadpool_info()), default=1)


def test_results_come_in_order_from_other_processes():
    found = map_indices(square, 200, "squares")
    assert [value for value, _ in found] == [n * n for n in range(200)]
    assert os.getpid() not in {pid for _, pid in found}


def test_nothing_to_draw_is_an_empty_list():
    assert map_indices(square, 0, "nothing") == []


def test_a_process_keeps_to_one_thread():
    # Processes inherit the parent's two threads, unless they are told otherwise.
    with threadpool_limits(limits=2):
        assert map_indices(most_threads, 1, "threads") == [1]
