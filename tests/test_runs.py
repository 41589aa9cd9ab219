from medq_engine import runs


def test_metrics_are_told_of_the_split_that_they_were_measured_on():
    told = {
        name: runs.measured_on(name)
        for name in (
            "accuracy",
            "gap/human",
            "gain/value",
            "gate/value",
            "labels/total",
            "x/labels",
        )
    }
    test, gate = "data/benchmark/test", "data/benchmark/gate"
    assert list(told.values()) == [test, test, test, gate, "", ""]
