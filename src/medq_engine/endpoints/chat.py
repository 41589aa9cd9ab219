"""The chat format of OpenAI-compatible servers: a request as JSON, a response as a raw reply.

Nothing is sent here; `endpoints` does that.
"""

import base64
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from medq_engine.errors import MedqError

TILE, TILE_TOKENS = 512, 8500
"""At most so many tokens for a picture of so many pixels squared: GPT-4o mini counts the most."""
OVERHEAD_TOKENS = 100
"""Room for what a chat template adds."""
REFUSABLE = ("logprobs", "seed")
"""Parameters that a server may refuse; it is then asked without them."""


class GarbageError(MedqError):
    """The server said 200 and sent something that is no answer."""


@dataclass(frozen=True)
class Request:
    """One question to a server.

    Attributes:
        text: What is asked.
        images: PNG files, shown before the text.
        temperature: 0 is greedy.
        max_tokens: Limit of the answer's length.
        repeat: Tells several draws of one question apart; sent as the seed.
    """

    text: str
    images: tuple[bytes, ...] = ()
    temperature: float = 0.0
    max_tokens: int = 64
    repeat: int = 0


@dataclass(frozen=True)
class Reply:
    """What the server said.

    Attributes:
        text: The answer as it came.
        nll: Mean negative log-likelihood per token in nats; None where the server gives none.
        finished: False where the answer was cut at `max_tokens`.
    """

    text: str
    nll: float | None
    finished: bool


def image_hash(png: bytes) -> str:
    """SHA-256 of the pixels: the same picture written by another PNG library is the same."""
    with Image.open(io.BytesIO(png)) as image:
        return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()


def content(model: str, request: Request, hashes: Mapping[bytes, str]) -> dict[str, object]:
    """What the answer store knows a request by (`answer_store.CONTENT`)."""
    return {
        "model": model,
        "text": request.text,
        "images": [hashes[png] for png in request.images],
        "temperature": float(request.temperature),
        "max_tokens": request.max_tokens,
        "repeat": request.repeat,
    }


def parts(request: Request) -> list[dict[str, object]]:
    """The message: images as base64 data URLs, then the text."""
    urls = ("data:image/png;base64," + base64.b64encode(png).decode() for png in request.images)
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [*pictures, {"type": "text", "text": request.text}]


def parameters(request: Request, left_out: Iterable[str]) -> dict[str, object]:
    """The parameters of a request but for those that the server does not take."""
    # Servers know the older name; OpenAI's newest models refuse it and name the newer one.
    length = "max_completion_tokens" if "max_tokens" in left_out else "max_tokens"
    wished = {"logprobs": True, "seed": request.repeat, length: request.max_tokens}
    return {name: value for name, value in wished.items() if name not in left_out}


def refused(message: str, left_out: set[str]) -> set[str]:
    """The parameters to leave out after a refusal: those it names, else all that may go."""
    if "max_completion_tokens" in message and "max_tokens" not in left_out:
        return {"max_tokens"}
    asked = {name for name in REFUSABLE if name not in left_out}
    return {name for name in asked if name in message} or asked


def tokens(request: Request) -> int:
    """No fewer tokens than the request has: one a byte of text, and the dearest images known."""
    total = OVERHEAD_TOKENS + len(request.text.encode())
    for png in request.images:
        with Image.open(io.BytesIO(png)) as image:
            total += TILE_TOKENS * math.prod(math.ceil(length / TILE) for length in image.size)
    return total


def read(text: str) -> dict[str, object]:
    """The raw reply out of a response's body.

    Raises:
        GarbageError: It is no chat completion.
    """
    try:
        body = json.loads(text)
        choice = body["choices"][0]
        said = choice["message"]["content"] or ""
        usage = body.get("usage") or {}
        said_tokens = (choice.get("logprobs") or {}).get("content") or []
        logs = [float(token["logprob"]) for token in said_tokens]
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        if not isinstance(said, str) or not all(c is None or isinstance(c, int) for c in counts):
            raise TypeError("a field has the wrong type")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise GarbageError(f"no chat completion ({error!r}): {text[:200]!r}") from None
    mean = -sum(logs) / len(logs) if logs else math.nan
    # A character that was cut in half is no text that a file can hold.
    said = said.encode(errors="replace").decode()
    return raw(said, choice.get("finish_reason"), *counts, mean if math.isfinite(mean) else None)


def raw(
    text: str,
    finish_reason: str | None,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    nll: float | None = None,
) -> dict[str, object]:
    """A reply as the answer store keeps it (`answer_store.REPLY`)."""
    return {
        "text": text,
        "finish_reason": finish_reason,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "nll": nll,
    }


def reply(raw: Mapping[str, object]) -> Reply:
    """A stored reply as the engine reads it."""
    return Reply(raw["text"], raw["nll"], raw["finish_reason"] != "length")
