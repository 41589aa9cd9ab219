"""Asking an OpenAI-compatible server: in parallel, patiently, within limits, and never twice.

The `openai` package speaks to the server; what it leaves to its user stands here: every request
that is sent counts (so its own retries are off), and every answer is stored when it arrives.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import openai
from tqdm import tqdm

from medq_engine.config import Endpoint
from medq_engine.endpoints import chat
from medq_engine.endpoints.answer_store import AnswerStore, content_key
from medq_engine.endpoints.chat import GarbageError, Reply, Request
from medq_engine.errors import MedqError

FIRST_WAIT = 1.0
"""Seconds before the first retry; each further one waits twice as long."""
LONGEST_WAIT = 120.0
WITHHELD = ("content_filter", "content_policy_violation")
"""Error codes of a server whose filter withholds the answer: an answer too, an empty one."""
HOPELESS = 10
"""So many requests failed one after another: the server is down, the rest need not be tried."""


class EndpointError(MedqError):
    """A server was not asked or did not answer; the message says what is kept and what to do."""


class _StopError(EndpointError):
    """No further request makes sense: a limit, a refused key, a wrong address."""


@dataclass(frozen=True)
class Spent:
    """What a client has sent so far: requests (retries too) and US dollars."""

    requests: int = 0
    cost: float = 0.0


class Client:
    """Answers from the store, and from the server what the store does not have.

    Limits hold for all that one client sends. One thread calls it.

    Args:
        settings: Address, limits and prices (`endpoints` of params.yaml).
        store: Where answers are kept.
        sleep: Waits so many seconds before a retry; tests need not wait.
    """

    def __init__(
        self,
        settings: Endpoint,
        store: AnswerStore,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._spending = threading.Condition()
        self._requests, self._cost = 0, 0.0
        self._in_flight: list[float] = []
        self._refused: set[str] = set()
        self._secret = ""

    @property
    def spent(self) -> Spent:
        """Requests sent and dollars spent by this client."""
        with self._spending:
            return Spent(self._requests, self._cost)

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in the order of the requests; equal requests are sent once.

        An answer is on the disk as soon as it is here, so a call that dies is taken up by the next
        one. A request that fails for good does not stop the others.

        Raises:
            EndpointError: The key is missing or refused, a limit is reached, or requests failed;
                all answers that came are kept.
        """
        hashes = {png: chat.image_hash(png) for request in requests for png in request.images}
        contents = [chat.content(self.settings.model, request, hashes) for request in requests]
        keys = [content_key(content) for content in contents]
        missing = {
            key: (request, content)
            for key, request, content in zip(keys, requests, contents, strict=True)
            if key not in self.store
        }
        if missing:
            self._fetch(list(missing.values()))
            # In an order that does not depend on which answer came first.
            self.store.compact()
        return [chat.reply(self.store[key]) for key in keys]

    def _fetch(self, missing: Sequence[tuple[Request, Mapping[str, object]]]) -> None:
        """Ask the server for all that is missing and store it, or raise what stood in the way."""
        server = self._connect()
        self._stopped.clear()
        failed: list[Exception] = []
        in_a_row = 0
        with (
            server,
            ThreadPoolExecutor(self.settings.concurrency) as pool,
            tqdm(total=len(missing), desc=self.settings.model, mininterval=10) as bar,
        ):
            futures = [pool.submit(self._answer, server, *work) for work in missing]
            try:
                for future in as_completed(futures):
                    error = future.exception()
                    if error is None:
                        in_a_row = 0
                        bar.update(future.result())
                        continue
                    failed.append(error)
                    in_a_row += 1
                    if type(error) is not EndpointError or in_a_row == HOPELESS:
                        self._stopped.set()
            finally:
                # Also when the user interrupts: what is in flight is kept, the rest is not sent.
                self._stopped.set()
        if failed:
            raise self._summary(failed, missing)

    def _summary(self, failed: Sequence[Exception], missing: Sequence[tuple]) -> Exception:
        # Anything else than a request that failed is why the others were not sent.
        first = next((error for error in failed if type(error) is not EndpointError), failed[0])
        if not isinstance(first, EndpointError):
            return first
        kept = sum(content_key(content) in self.store for _, content in missing)
        lost = sum(type(error) is EndpointError for error in failed)
        return EndpointError(
            f"{self.settings.model} at {self.settings.url}: {first}\n"
            f"  {kept} of {len(missing)} new answers are kept in {self.store.path}"
            + (f", {lost} requests failed for good" if lost else "")
            + "; run the same again, and only what is missing is asked."
        )

    def _connect(self) -> openai.OpenAI:
        name = self.settings.key
        if name is not None:
            self._secret = os.environ.get(name, "").strip()
            if not self._secret:
                raise EndpointError(
                    f"{self.settings.model} at {self.settings.url}: the environment variable "
                    f"{name} (key of this endpoint in params.yaml) is not set: export your API "
                    "key in it, or set `key: null` for a server that wants none"
                )
        return openai.OpenAI(
            # The package wants one, and would otherwise take OPENAI_API_KEY for any server.
            api_key=self._secret or "none",
            base_url=self.settings.url,
            timeout=self.settings.timeout,
            max_retries=0,
        )

    def _answer(
        self, server: openai.OpenAI, request: Request, content: Mapping[str, object]
    ) -> bool:
        """Get one answer into the store; False where it was not asked for any more."""
        wait = FIRST_WAIT
        for attempt in range(self.settings.retries + 1):
            if self._stopped.is_set():
                return False
            try:
                self.store.add(content, self._send(server, request))
                return True
            except (openai.APIError, GarbageError) as error:
                told = self._judge(error)
                if attempt == self.settings.retries:
                    # Not chained: the package's error may quote the key.
                    raise EndpointError(f"{told} ({attempt + 1} times tried)") from None
                # A part at random, lest all that were refused together come back together.
                pause = wait * random.uniform(0.5, 1)
                self._sleep(min(max(pause, _retry_after(error)), LONGEST_WAIT))
                wait *= 2
        raise AssertionError("unreachable")

    def _judge(self, error: Exception) -> str:
        """Say what went wrong where another attempt may help; raise where none does."""
        # The package says "Connection error."; what kind of one, its cause knows.
        told = self._hide(f"{error} {error.__cause__ or ''}".strip())[:500]
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            where = f"the key in {self.settings.key}" if self.settings.key else "no key (key: null)"
            raise _StopError(f"the server refused {where}: {told}") from None
        if status == 404:
            raise _StopError(
                f"not found: {told}\n  Check `url` (up to and with /v1) and `model` of this "
                "endpoint in params.yaml."
            ) from None
        if getattr(error, "code", None) == "insufficient_quota":
            raise _StopError(f"the account has no credit left: {told}") from None
        if status is not None and status < 500 and status not in (408, 409, 429):
            raise EndpointError(f"the server refused a request: {told}") from None
        return told

    def _send(self, server: openai.OpenAI, request: Request) -> dict[str, object]:
        """Send one request; without a parameter once more where the server refuses that one."""
        left_out = set(self._refused)
        while True:
            try:
                reply = self._send_once(server, request, left_out)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if error.code in WITHHELD:
                    return chat.raw("", "content_filter")
                refused = chat.refused(str(error), left_out)
                if not refused:
                    raise
                left_out |= refused
            else:
                self._refused |= left_out
                return reply

    def _send_once(
        self, server: openai.OpenAI, request: Request, left_out: set[str]
    ) -> dict[str, object]:
        estimate = self._price(chat.tokens(request), request.max_tokens)
        self._reserve(estimate)
        # A lost answer may have been charged all the same.
        cost = estimate
        try:
            got = server.chat.completions.with_raw_response.create(
                model=self.settings.model,
                messages=[{"role": "user", "content": chat.parts(request)}],
                temperature=request.temperature,
                **chat.parameters(request, left_out),
            )
            reply = chat.read(self._hide(got.http_response.text))
            used = reply["prompt_tokens"], reply["completion_tokens"]
            if None not in used:
                cost = self._price(*used)
            return reply
        except openai.APIStatusError:
            cost = 0.0
            raise
        finally:
            with self._spending:
                self._in_flight.remove(estimate)
                self._cost += cost
                self._spending.notify_all()

    def _hide(self, text: str) -> str:
        """What a server said without the key: it may echo what it was sent."""
        return text.replace(self._secret, "***") if self._secret else text

    def _price(self, read: int, written: int) -> float:
        return (read * self.settings.price_input + written * self.settings.price_output) / 1e6

    def _reserve(self, estimate: float) -> None:
        """Count a request before it is sent, or stop where it could pass a limit."""
        limits = self.settings
        with self._spending:
            # What is in flight is reserved at its worst; wait for the true cost before giving up.
            self._spending.wait_for(
                lambda: (
                    not self._in_flight
                    or self._cost + sum(self._in_flight) + estimate <= limits.max_cost
                )
            )
            if self._cost + estimate > limits.max_cost:
                raise _StopError(
                    f"stopped before max_cost: {self._cost:.4f} of {limits.max_cost:g} dollars are "
                    f"spent and the next request may cost {estimate:.4f}; raise max_cost of this "
                    "endpoint in params.yaml"
                )
            if self._requests == limits.max_requests:
                raise _StopError(
                    f"stopped at max_requests: {self._requests} requests are sent (retries count); "
                    "raise max_requests of this endpoint in params.yaml"
                )
            self._requests += 1
            self._in_flight.append(estimate)


def _retry_after(error: Exception) -> float:
    """Seconds that the server asks to wait (RFC 9110, 10.2.3: a number or a date), else 0."""
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after", "") if response is not None else ""
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
