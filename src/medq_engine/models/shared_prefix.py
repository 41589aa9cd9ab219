"""Many answers to many questions about an image for the price of one look at it.

The images of a prompt go through the model once and leave their keys and values in its cache. The
questions follow as the branches of a tree, and behind each question its answers: one row of
tokens, in which a token attends to the images, to its own branch back to the root, and to nothing
else. So no image, question or cache is ever repeated, and the probabilities are those of one plain
pass over every prompt and answer (tests/models/test_shared_prefix.py compares them).

Scoring (`scoring`) and training (`training`) both read their log-probabilities here.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch

from medq_engine.models import towers
from medq_engine.models.mllm import Mllm, Shown, stack


@dataclass(frozen=True)
class Asked:
    """One question about a row's images: its tokens, and the tokens of every answer to weigh."""

    question: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Row:
    """The images of one prompt with all that is asked about them."""

    shown: Shown
    asked: tuple[Asked, ...]


@dataclass(frozen=True)
class States:
    """Hidden states of a batch, and which of them predicts each answer token.

    Attributes:
        hidden: Shape (rows, positions, hidden size).
        predictors: For every answer, in order: its row, and a position for each of its tokens.
    """

    hidden: torch.Tensor
    predictors: list[tuple[int, list[int]]]


def log_probabilities(mllm: Mllm, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of every token of every answer, in nats.

    Returns:
        Log-probabilities and mask, both of shape (answers, longest answer), float32, answers in the
        order of rows, questions and answers; padding is masked 0.
    """
    if mllm.family.bidirectional_prompt:
        rows = [
            Row(with_text(row.shown, asked.question), (Asked((), asked.answers),))
            for row in rows
            for asked in row.asked
        ]
    shared = not mllm.base.is_activation_checkpointing and within_window(mllm, rows)
    states = (tree_states if shared else plain_states)(mllm, rows)
    answers = [answer for row in rows for asked in row.asked for answer in asked.answers]

    # Siblings are predicted from the same state: the vocabulary head sees each state once.
    wanted: dict[tuple[int, int], int] = {}
    index = torch.zeros((len(answers), max(map(len, answers))), dtype=torch.long)
    targets = torch.zeros_like(index)
    mask = torch.zeros(index.shape)
    for i, (answer, (row, positions)) in enumerate(zip(answers, states.predictors, strict=True)):
        keys = [(row, position) for position in positions]
        index[i, : len(answer)] = torch.tensor([wanted.setdefault(k, len(wanted)) for k in keys])
        targets[i, : len(answer)] = torch.tensor(answer)
        mask[i, : len(answer)] = 1
    where = torch.tensor(list(wanted), device=states.hidden.device)
    logits = mllm.base.get_output_embeddings()(states.hidden[where[:, 0], where[:, 1]]).float()
    cap = getattr(mllm.base.config.get_text_config(), "final_logit_softcapping", None)
    if cap:
        logits = cap * torch.tanh(logits / cap)
    index, targets, mask = (t.to(logits.device) for t in (index, targets, mask))
    logp = logits[index, targets] - torch.logsumexp(logits, -1)[index]
    return logp, mask


def with_text(shown: Shown, text: Sequence[int], token_type: int = 0) -> Shown:
    """A prompt with more text behind what it holds, all of one type."""
    beside = {
        name: (*values, *(token_type,) * len(text)) for name, values in shown.token_inputs.items()
    }
    return replace(shown, ids=(*shown.ids, *text), token_inputs=beside)


def within_window(mllm: Mllm, rows: Sequence[Row]) -> bool:
    """False where a row is longer than the window of a layer that attends to its neighbours only.

    The tree's mask knows branches and no windows.
    """
    text = mllm.base.config.get_text_config()
    if "sliding_attention" not in (getattr(text, "layer_types", None) or ()):
        return True
    longest = max(len(row.shown.ids) + sum(map(tree_length, row.asked)) for row in rows)
    return longest < text.sliding_window


def tree_length(asked: Asked) -> int:
    """Tokens that a question and its answers add to a row; no answer's last one is needed."""
    return len(asked.question) + sum(len(answer) - 1 for answer in asked.answers)


def run_prefix(
    mllm: Mllm, prompts: Sequence[Shown], use_cache: bool
) -> tuple[object, torch.Tensor, torch.Tensor]:
    """Send prompts of several lengths through the model; padding is on the right.

    Returns:
        The model's output, the mask of shape (rows, longest), and the lengths, shape (rows,).
    """
    longest = max(len(prompt.ids) for prompt in prompts)
    pad = mllm.processor.tokenizer.pad_token_id
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros_like(ids)
    beside = {name: torch.zeros_like(ids) for name in prompts[0].token_inputs}
    for row, prompt in enumerate(prompts):
        length = len(prompt.ids)
        ids[row, :length] = torch.tensor(prompt.ids)
        mask[row, :length] = 1
        for name, values in prompt.token_inputs.items():
            beside[name][row, :length] = torch.tensor(values)
    inputs = {"input_ids": ids, "attention_mask": mask, **beside, **stack(prompts)}
    inputs = {name: tensor.to(mllm.device) for name, tensor in inputs.items()}
    looked = prompts[0].seen is not None
    with towers.replayed(mllm, [p.seen for p in prompts]) if looked else nullcontext():
        output = mllm.base.model(**inputs, use_cache=use_cache)
    return output, inputs["attention_mask"], inputs["attention_mask"].sum(1)


def plain_states(mllm: Mllm, rows: Sequence[Row]) -> States:
    """States from a row of tokens for each answer: nothing is shared and no cache is kept."""
    prompts, predictors = [], []
    for row in rows:
        for asked in row.asked:
            prompt = with_text(row.shown, asked.question)
            start = len(prompt.ids)
            for answer in asked.answers:
                prompts.append(with_text(prompt, answer[:-1], mllm.family.answer_type))
                positions = list(range(start - 1, start - 1 + len(answer)))
                predictors.append((len(predictors), positions))
    output, _, _ = run_prefix(mllm, prompts, use_cache=False)
    return States(output.last_hidden_state, predictors)


def tree_states(mllm: Mllm, rows: Sequence[Row]) -> States:
    """States from two passes: images, then the tree of questions and answers behind them."""
    first, prefix_mask, lengths = run_prefix(mllm, [row.shown for row in rows], use_cache=True)
    end = lengths - 1
    last = first.last_hidden_state[torch.arange(len(rows), device=end.device), end]
    trees = [plant(row.asked) for row in rows]
    width = max(len(tree.ids) for tree in trees)
    predictors = [(row, list(p)) for row, tree in enumerate(trees) for p in tree.predictors]
    if not width:  # one-token answers directly behind a prompt
        return States(last[:, None], predictors)

    ids = torch.full((len(rows), width), mllm.processor.tokenizer.pad_token_id)
    depth = torch.zeros_like(ids)
    visible = torch.eye(width, dtype=torch.bool).repeat(len(rows), 1, 1)
    for row, tree in enumerate(trees):
        size = len(tree.ids)
        ids[row, :size] = torch.from_numpy(tree.ids)
        depth[row, :size] = torch.from_numpy(tree.depth)
        visible[row, :size, :size] = torch.from_numpy(tree.visible)
    device = mllm.device
    behind = prefix_mask.bool()[:, None, :].expand(-1, width, -1)
    allowed = torch.cat([behind, visible.to(device)], -1)
    hidden = first.last_hidden_state
    mask = torch.zeros(allowed.shape, dtype=hidden.dtype, device=device)
    mask = mask.masked_fill(~allowed, torch.finfo(hidden.dtype).min)[:, None]
    positions = lengths[:, None] + mllm.family.first_position + depth.to(device)
    if mllm.family.rope_deltas:
        # Where positions have three axes, an image takes fewer of them than it has tokens.
        positions = positions + mllm.base.model.rope_deltas.to(device)
    second = mllm.base.model(
        input_ids=ids.to(device),
        attention_mask=mask,
        position_ids=positions,
        past_key_values=first.past_key_values,
        use_cache=True,
    )
    return States(torch.cat([last[:, None], second.last_hidden_state], 1), predictors)


@dataclass(frozen=True)
class Tree:
    """A row's questions and answers laid end to end.

    Attributes:
        ids: Token ids, shape (tokens,).
        depth: How many tokens of its branch stand before each token, shape (tokens,).
        visible: Which token each token attends to, shape (tokens, tokens), bool.
        predictors: For every answer, the states that predict its tokens: 0 is the last token of the
            prefix, i the i-th token of the tree.
    """

    ids: np.ndarray
    depth: np.ndarray
    visible: np.ndarray
    predictors: list[list[int]]


def plant(questions: Sequence[Asked]) -> Tree:
    """Lay out the tree of a row."""
    ids: list[int] = []
    depth: list[int] = []
    spans: list[tuple[slice, slice]] = []
    predictors = []

    def grow(tokens: Sequence[int], above: int, trunk: slice) -> slice:
        span = slice(len(ids), len(ids) + len(tokens))
        ids.extend(tokens)
        depth.extend(range(above, above + len(tokens)))
        spans.append((span, trunk))
        return span

    for asked in questions:
        trunk = grow(asked.question, 0, slice(0, 0))
        for answer in asked.answers:
            branch = grow(answer[:-1], len(asked.question), trunk)
            before = trunk.stop if asked.question else 0
            predictors.append([before, *range(branch.start + 1, branch.stop + 1)])
    visible = np.zeros((len(ids), len(ids)), dtype=bool)
    for span, trunk in spans:
        size = span.stop - span.start
        visible[span, span] = np.tri(size, dtype=bool)
        visible[span, trunk] = True
    return Tree(np.array(ids, dtype=np.int64), np.array(depth, dtype=np.int64), visible, predictors)
