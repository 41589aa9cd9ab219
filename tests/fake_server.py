"""A chat server on the loopback that answers by script, over real HTTP."""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Body = dict[str, object]


def completion(
    text: str | None,
    finish_reason: str = "stop",
    usage: tuple[int, int] | None = None,
    logprobs: list[float] | None = None,
) -> Body:
    """A chat completion as OpenAI's servers write it."""
    choice: Body = {"index": 0, "message": {"role": "assistant", "content": text}}
    choice["finish_reason"] = finish_reason
    if logprobs is not None:
        choice["logprobs"] = {"content": [{"token": "x", "logprob": value} for value in logprobs]}
    body: Body = {"object": "chat.completion", "choices": [choice]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return body


def fault(message: str, code: str | None = None) -> Body:
    """The body of a refusal."""
    return {"error": {"message": message, "code": code, "type": "error", "param": None}}


SENTENCES = (
    "There is severe blur. Overall, the quality of this image is reject.",
    "There is mild aliasing. Overall, the quality of this image is usable.",
    "The image is sharp and even. Overall, the quality of this image is good.",
)
LETTERED = re.compile(r"^([A-Z])\. .+$", re.MULTILINE)


@dataclass
class Answer:
    """What the server does with one request; `body` may be text that is no JSON."""

    body: Body | str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


def plausible(_: int, body: Body) -> Answer:
    """What a model might say: the same to the same request, often with prose, often unreadable.

    It chooses a letter where options are lettered, scores where a judge is asked for "Score: N",
    and describes an image otherwise.
    """
    asked = body["messages"][0]["content"][-1]["text"]
    chance = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
    letters = LETTERED.findall(asked)
    if "Score: N" in asked:
        said = (f"Score: {chance[0] % 3}", f"**Score: {chance[0] % 3}**", "It depends.")
    elif letters:
        letter = letters[chance[0] % len(letters)]
        said = (letter, f"The answer is {letter}.", "I cannot tell from this image.")
    else:
        said = SENTENCES
    return Answer(completion(said[chance[1] % len(said)], usage=(10, 2)))


class FakeServer:
    """Answers request number n (from 0) with `script(n, body)`; use it in a `with` statement.

    Attributes:
        bodies: The requests' bodies, in the order of their arrival.
        keys: Their Authorization headers.
        busiest: The most requests that were in progress at once.
    """

    def __init__(self, script: Callable[[int, Body], Answer]) -> None:
        self.bodies: list[Body] = []
        self.keys: list[str | None] = []
        self.busiest = 0
        self._busy = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(script))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "FakeServer":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Refuse connections from now on; a script may call this, too."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, script: Callable[[int, Body], Answer]) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    number = len(server.bodies)
                    server.bodies.append(body)
                    server.keys.append(self.headers["Authorization"])
                    server._busy += 1
                    server.busiest = max(server.busiest, server._busy)
                try:
                    answer = script(number, body)
                    time.sleep(answer.delay)
                finally:
                    with server._lock:
                        server._busy -= 1
                if answer.drop:
                    self.close_connection = True
                    return
                text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        return Handler
