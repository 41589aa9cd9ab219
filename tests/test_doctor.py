import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from medq_engine import doctor, profiles
from medq_engine.config import Endpoint, Params, load_params
from medq_engine.doctor import Check, Machine
from medq_engine.profiles import Profile

ROOT = Path(__file__).parents[1]
LAPTOP = Machine("cpu", "CPU, 8 cores", 32.0, 8, False, False)
LARGE = Machine("cuda", "A100", 79.0, 16, True, False)
SMALL = replace(LARGE, name="L4", memory=23.0)


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def patient(name: str) -> tuple[Params, Profile]:
    """A profile of the repository, laid over its params."""
    _, laid, profile = doctor.patient(ROOT, name)
    return laid, profile


def here(params: Params, **changes: object) -> Params:
    return replace(params, model=replace(params.model, **changes))


@pytest.fixture
def nano(params) -> Params:
    """The shipped params, with the model's folder named from anywhere."""
    return here(params, id=str(ROOT / "models" / "base"))


def test_params_alone_are_named_by_the_profile_of_their_model(params, tmp_path):
    name, same, profile = doctor.patient(ROOT, None)
    assert (name, same) == ("nano", params)
    assert profile.needs.device == "cpu"
    (tmp_path / "profiles").mkdir()
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert doctor.patient(tmp_path, None) == ("models/base", params, None)


def test_a_named_profile_is_laid_over_in_memory_only():
    before = (ROOT / "params.yaml").read_bytes()
    laid, _ = patient("internvl3-8b")
    assert laid.model.id == "OpenGVLab/InternVL3-8B-hf"
    assert (ROOT / "params.yaml").read_bytes() == before


def test_a_model_that_needs_a_gpu_is_refused_without_one():
    found = doctor.check_memory(LAPTOP, *patient("internvl3-8b"))
    assert found.level == "FAIL"
    assert "needs a CUDA GPU" in found.says
    assert "here: CPU, 8 cores, 32 GB free" in found.says


def test_memory_is_compared_with_the_params_at_hand():
    laid, profile = patient("internvl3-8b")
    assert doctor.check_memory(LARGE, laid, profile).level == "ok"
    short = doctor.check_memory(SMALL, laid, profile)
    assert short.level == "FAIL"
    assert "model.quantize: 4bit" in short.says
    assert "gradient_checkpointing" not in short.says


@pytest.mark.parametrize("name", ["internvl3-8b", "qwen2.5-vl-7b", "qwen3-vl-8b"])
def test_four_bits_fit_a_small_gpu_as_the_profiles_say(name):
    laid, profile = patient(name)
    packed = here(laid, quantize="4bit", images_per_batch=16)
    assert doctor.check_memory(SMALL, packed, profile).level == "ok"


def test_little_memory_is_refused_on_a_cpu_too():
    found = doctor.check_memory(replace(LAPTOP, memory=0.5), *patient("nano"))
    assert found.level == "FAIL"
    assert "finetune.gradient_checkpointing" in found.says
    assert "4bit" not in found.says


def test_an_unknown_shape_is_a_warning(params):
    found = doctor.check_memory(LAPTOP, here(params, id="somebody/else"), None)
    assert found.level == "warn"
    assert "somebody/else" in found.says


@pytest.mark.parametrize(
    ("threads", "environment", "level", "says"),
    [
        (8, None, "ok", "8 of 8 cores"),
        (9, None, "warn", "model.threads is 9, but 8 cores"),
        (2, "16", "warn", "OMP_NUM_THREADS is 16"),
        (2, "8", "ok", "2 of 8"),
    ],
)
def test_more_threads_than_cores_are_pointed_out(threads, environment, level, says):
    found = doctor.check_threads(LAPTOP, threads, environment)
    assert found.level == level
    assert says in found.says


@pytest.mark.parametrize(
    ("machine", "dtype", "level"),
    [
        (LAPTOP, "float32", "ok"),
        (LAPTOP, "bfloat16", "warn"),
        (replace(LAPTOP, bfloat16=True), "bfloat16", "ok"),
        (LARGE, "bfloat16", "ok"),
        (replace(LARGE, bfloat16=False), "bfloat16", "FAIL"),
        (LARGE, "float16", "warn"),
    ],
)
def test_the_type_must_suit_the_device(machine, dtype, level):
    assert doctor.check_dtype(machine, dtype).level == level


@pytest.mark.parametrize(
    ("machine", "quantize", "level"),
    [
        (LAPTOP, None, "ok"),
        (LAPTOP, "4bit", "FAIL"),
        (LARGE, "4bit", "FAIL"),
        (replace(LARGE, bitsandbytes=True), "4bit", "ok"),
    ],
)
def test_four_bits_need_cuda_and_a_package(machine, quantize, level):
    assert doctor.check_quantize(machine, quantize).level == level


def test_the_committed_model_is_whole_and_safe():
    found = doctor.check_weights(str(ROOT / "models" / "base"))
    assert found.level == "ok"
    assert "safetensors, 0.00545 GB" in found.says


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"model.safetensors": ""}, "lacks config.json"),
        ({"config.json": "{}"}, "lacks model.safetensors"),
        ({"config.json": "{}", "pytorch_model.bin": ""}, "convert them to safetensors"),
        (
            {
                "config.json": "{}",
                "model-1.safetensors": "",
                "model.safetensors.index.json": json.dumps(
                    {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
                ),
            },
            "lacks model-2.safetensors",
        ),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_refused(tmp_path, files, says):
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = doctor.check_weights(str(tmp_path))
    assert found.level == "FAIL"
    assert says in found.says


@pytest.mark.parametrize("model_id", ["nobody/has-this-model", "models/not made yet"])
def test_what_is_not_on_the_disk_is_not_fetched(model_id, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = doctor.check_weights(model_id)
    assert found.level == "FAIL"
    assert f"hf download {model_id}" in found.says
    assert list(tmp_path.iterdir()) == []


def run(params: Params, machine: Machine, **trials: object) -> list[Check]:
    profile = profiles.load(ROOT / "profiles", "nano")
    return list(doctor.examine(params, profile, machine, trials))


def test_trials_run_in_order_once_nothing_stands_in_the_way(nano):
    checks = run(nano, LAPTOP, first=lambda given: given.model.dtype, second=lambda _: "fine")
    assert [(c.name, c.level, c.says) for c in checks[-2:]] == [
        ("first", "ok", "float32"),
        ("second", "ok", "fine"),
    ]
    assert not doctor.failed(checks)
    assert (
        doctor.verdict("nano", checks)
        == "verdict: nano is ready: 7 checks, 0 of them with a warning"
    )


def test_a_trial_that_fails_ends_the_examination(nano):
    def broken(_: Params) -> str:
        raise RuntimeError("out of memory\nmore lines")

    checks = run(nano, LAPTOP, first=broken, second=lambda _: pytest.fail("ran"))
    assert [check.name for check in doctor.failed(checks)] == ["first"]
    assert checks[-1].name == "first"
    said = doctor.verdict("nano", checks)
    assert said == "verdict: nano cannot run here: first: RuntimeError: out of memory"


def test_no_trial_runs_where_memory_says_no(nano):
    checks = run(nano, replace(LAPTOP, memory=0.1), first=lambda _: pytest.fail("ran"))
    assert [check.name for check in doctor.failed(checks)] == ["memory"]
    assert [c.name for c in checks] == ["memory", "threads", "dtype", "quantize", "weights"]


def test_a_line_says_level_name_and_what(nano):
    assert str(Check("dtype", "warn", "slow")) == "warn  dtype          slow"


Serve = Callable[[int, object], Endpoint]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server on this machine that gives one answer to everything, as an endpoint."""
    started = []

    def start(status: int, body: object) -> Endpoint:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, self.headers["Authorization"]))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return endpoint(f"http://127.0.0.1:{server.server_port}/v1")

    seen: list[tuple[str, str]] = []
    start.seen = seen
    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def endpoint(url: str) -> Endpoint:
    return Endpoint(
        url=url,
        model="gpt-x",
        key="MEDQ_TEST_KEY",
        concurrency=1,
        timeout=5,
        retries=0,
        max_requests=1,
        max_cost=0,
        price_input=0,
        price_output=0,
    )


MODELS = {"object": "list", "data": [{"id": "gpt-x", "object": "model"}]}


@pytest.mark.parametrize(
    ("status", "body", "level", "says"),
    [
        (200, MODELS, "ok", "has gpt-x"),
        (200, {"object": "list", "data": []}, "warn", "does not list gpt-x; it has none"),
        (401, {"error": {"message": "sk-secret is wrong"}}, "FAIL", "refuses the key in MEDQ_TEST"),
        (404, {}, "warn", "lists no models"),
        (500, {"error": {"message": "sk-secret"}}, "FAIL", "InternalServerError"),
    ],
)
def test_a_server_is_asked_for_its_models(serve, monkeypatch, status, body, level, says):
    monkeypatch.setenv("MEDQ_TEST_KEY", "sk-secret")
    found = doctor.check_endpoint("x", serve(status, body))
    assert (found.name, found.level) == ("endpoint:x", level)
    assert says in found.says
    assert "sk-secret" not in str(found)
    assert serve.seen == [("/v1/models", "Bearer sk-secret")]


def test_a_missing_key_is_told_before_anything_is_sent(serve, monkeypatch):
    monkeypatch.delenv("MEDQ_TEST_KEY", raising=False)
    found = doctor.check_endpoint("x", serve(200, MODELS))
    assert found.level == "FAIL"
    assert "MEDQ_TEST_KEY is not set" in found.says
    assert serve.seen == []


def test_a_server_without_keys_needs_none(serve):
    found = doctor.check_endpoint("x", replace(serve(200, MODELS), key=None))
    assert found.level == "ok"


def test_a_server_that_is_down_cannot_be_reached(serve, monkeypatch):
    monkeypatch.setenv("MEDQ_TEST_KEY", "sk-secret")
    found = doctor.check_endpoint("x", endpoint("http://127.0.0.1:9/v1"))
    assert found.level == "FAIL"
    assert "cannot be reached" in found.says


def test_a_model_behind_a_server_needs_no_weights_here(params, serve, monkeypatch):
    monkeypatch.setenv("MEDQ_TEST_KEY", "sk-secret")
    served = {"x": serve(200, MODELS)}
    behind = here(replace(params, endpoints=served), id="endpoint:x")
    checks = list(doctor.examine(behind, None, LAPTOP, {"first": lambda _: pytest.fail("ran")}))
    assert [(c.name, c.level) for c in checks] == [("endpoint:x", "ok"), ("fine-tuning", "warn")]
    assert not doctor.failed(checks)


def test_the_endpoints_of_drafts_and_judge_are_examined_too(params):
    used = replace(
        params,
        endpoints={name: endpoint("http://127.0.0.1:9/v1") for name in ("a", "b")},
        drafts=replace(params.drafts, endpoint="a"),
        judge=replace(params.judge, endpoint="b"),
    )
    assert doctor.asked(used) == ["a", "b"]
    both = here(used, id="endpoint:b")
    assert doctor.asked(both) == ["b", "a"]
    assert doctor.asked(params) == []
