"""Reading a free reply to a question with lettered options; what is unclear stays unread.

Three places are looked at, the surest first: a statement ("the answer is B", a last line that is an
option), the beginning of the reply ("B. Motion blur"), and at last any mention, if there is only
one that is not denied. VLMEvalKit's reader of MedQ-Bench takes the article "a" for option A and
never finds "the answer is B"; both are cases of the tests.
"""

import re
from collections.abc import Sequence
from string import ascii_lowercase

from medq_engine.language import LETTERS

PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014\u2192", "''\"\"--:")
# What a model thought before it answers is no answer.
THOUGHT = re.compile(r"^.*</think(?:ing)?>", re.I | re.S)
OPEN_THOUGHT = re.compile(r"<think(?:ing)?>", re.I)
MARKUP = re.compile(r"[*`\"]|\\(?:text|mathrm|mathbf)\b|\\[()\[\]]|(?<!\w)_+|_+(?!\w)|<answer>")
BOXED = re.compile(r"\\boxed\s*\{+\s*([^{}]*)")

HEDGE = (
    r"(?:most likely|likely|probably|clearly|definitely|therefore|thus|option|choice|letter|the)"
)
CUE = re.compile(
    r"\b(?:answer|(?:correct|right|best|final|my) (?:option|choice)"
    r"|(?:choose|select|pick|chose|selected|picked|go with|going with)"
    r"|(?:answer_?letter|option|choice|letter)(?= ?[:=]))\b"
    r"(?: to (?:the|this|your) question)?"
    r"(?: (?:is|was|would be|should be|must be)\b)?\s*(?:[:=]|-+>?)?\s*"
    rf"(?:{HEDGE}\b\s*:?\s*)*",
    re.I,
)
# "The most visible fault is B. Motion blur": a letter that is set off.
IS = re.compile(r"\b(?:is|as):? (?=[(\[]?[A-Z](?:[).:\]]|$))")
# "B is correct", the cue after the name.
CONFIRMED = re.compile(
    r"[)\]']*(?:\. [^.\n]*)? (?:is|must be|seems|would be) (?:the )?(?:most )?"
    r"(?:correct|right|best|likely|accurate|appropriate|answer)\b",
    re.I,
)
CONDITION = re.compile(r"\b(?:if|unless|whether)\b", re.I)
# From a denial to the end of its sentence nothing is affirmed, but for what such a word turns.
DENIAL = re.compile(
    r"\b(?:not|never|no|without|neither|nor|cannot|rather than|instead of|lacks?|absence|free of"
    r"|exclud\w*|rul\w+ out|unlike)\b|n't\b",
    re.I,
)
TURN = re.compile(
    r"\b(?:but|only|just|however|rather(?! than)|instead(?! of)|although|yet"
    r"|(?:it|this|that) is|it's|shows?)\b",
    re.I,
)
DENIED_AFTER = re.compile(
    r"[)\]']*\s(?:is|are|was|were|seems?|looks?|can|could|does|do|would|has|have)"
    r"(?:n't\b|[^.;!?\n]{0,20}\b(?:not|wrong|incorrect|absent|unlikely|excluded|out|missing)\b)"
    r"|[)\]']*\s(?:cannot|can't)\b",
    re.I,
)
SENTENCE_END = re.compile(r"[.;!?\n]")
OPENING = r"[(\[{']*"
LETTER = re.compile(rf"{OPENING}([A-Za-z])(?![\w-]|'\w)([)\]}}']*)")
MARK = re.compile(r"\s*[.,;:!?-]*\s*")
# A small letter before a word is one as well.
ARTICLES = "AI" + ascii_lowercase
JOINED = r"\s*[/&]|\s+(?:because|since|as|is|or|and)\b"
# "No" before a noun is no answer, nor is "none of".
AFTER = {
    "no": r"(?=\s*(?:$|[.,;:!?)\]}'\n-]|because\b|since\b|as\b|there\b|it\b|this\b))",
    "none": r"(?!\s+of\b)",
}


class _Reader:
    """The ways to name one of some options; positions are those of the text given."""

    def __init__(self, options: Sequence[str]) -> None:
        self.options = options
        self.letters = LETTERS[: len(options)]
        # Longest first: "motion blur" is no mention of "blur".
        words = sorted(options, key=len, reverse=True)
        patterns = [
            r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", option.strip())))
            + r"(?!\w)"
            + AFTER.get(option.strip().lower(), "")
            for option in words
        ]
        joined = "|".join(f"({pattern})" for pattern in patterns)
        self._words = words
        self._text = re.compile(rf"(?<![\w-])(?:{joined})(?!-\w)", re.I)
        self._start = re.compile(rf"{OPENING}(?:{joined})(?!-\w)", re.I)

    def named(self, match: re.Match) -> str:
        """The option whose text a match of `_text` or `_start` found."""
        return self._words[match.lastindex - 1]

    def begin(self, text: str) -> tuple[str | None, int]:
        """The option that a text begins with, by letter or in words, and where its name ends."""
        letter = LETTER.match(text)
        if letter and letter[1].upper() in self.letters:
            option = self.options[LETTERS.index(letter[1].upper())]
            rest = text[letter.end() :]
            mark = MARK.match(rest)
            spelled = self._start.match(rest, mark.end())
            if spelled and self.named(spelled) == option:
                return option, letter.end() + spelled.end()
            if spelled and mark[0].strip():
                # "B. Blur" where B is something else contradicts itself.
                return None, 0
            set_off = bool(letter[2] or mark[0].strip() or "\n" in mark[0] or not rest)
            if set_off or letter[1] not in ARTICLES or re.match(JOINED, rest):
                return option, letter.end()
        # An article: "a motion blur".
        start = re.match(r"(?:(?:an?|the)\s+)?", text, re.I).end()
        spelled = self._start.match(text, start)
        return (self.named(spelled), spelled.end()) if spelled else (None, 0)

    def stated(self, text: str) -> set[str]:
        """The options that a statement's text names: "B" one, "A or B" two."""
        found: set[str] = set()
        while True:
            option, end = self.begin(text)
            if option is None:
                return found
            found.add(option)
            more = re.match(
                r"[)\]}'.]*\s*(?:,?\s*\b(?:or|and)\b|/|&|,)\s*(?:(?:maybe|perhaps|possibly|option)\s+)*",
                text[end:],
            )
            if not more:
                return found
            text = text[end + more.end() :]
            if "," in more[0] and not re.match(r"\W*\w+(?:\s\w+)?\W*(?:$|\n|,|or\b|and\b)", text):
                return found

    def whole(self, line: str) -> str | None:
        """The option that a line consists of: "B", "(b)", "B. Motion blur", "motion blur."."""
        option, end = self.begin(line.strip())
        rest = line.strip()[end:].strip(" \t.,;:!)]}'")
        return option if option is not None and not rest else None

    def mentions(self, text: str) -> list[tuple[re.Match, str]]:
        """All mentions in prose; a letter counts only where it cannot be a word."""
        found = [(match, self.named(match)) for match in self._text.finditer(text)]
        spans = [match.span() for match, _ in found]
        marked = r"[(\[]([A-Za-z])[)\]]|\b(?:option|choice|letter)\s+[(\[']?([A-Z])\b"
        # "A" begins sentences as an article, "I" as a pronoun.
        alone = r"([B-HJ-Z])(?![\w'-])|(?<=[\w,] )(A)(?=$|[.,;:!?)]|\s+(?:or|and)\b)|(A)(?=\s*/)"
        for match in re.finditer(rf"(?<![\w'-])(?:{marked}|{alone})", text):
            letter = next(filter(None, match.groups())).upper()
            inside = any(start <= match.start() < end for start, end in spans)
            if letter in self.letters and not inside:
                found.append((match, self.options[LETTERS.index(letter)]))
        return found


def parse_option(text: str, options: Sequence[str], finished: bool = True) -> str | None:
    """The option that a reply chooses, or None where it does not clearly choose one.

    Args:
        text: The reply, with whatever prose, markup or reasoning is around the answer.
        options: What the question offered, lettered A, B, C ... in this order.
        finished: False for a reply that was cut off: what it merely mentions is then no answer.
    """
    if not options:
        return None
    text = THOUGHT.sub("", text.translate(PLAIN))
    if OPEN_THOUGHT.search(text):
        return None
    reader = _Reader(options)
    text = MARKUP.sub(lambda found: "answer: " if found[0] == "<answer>" else "", text)
    text = text.replace("</answer>", "\n").strip()
    if boxed := BOXED.findall(text):
        return reader.whole(boxed[-1])
    lines = _without_echo([line for line in text.splitlines() if line.strip()], reader)
    text = "\n".join(lines)

    statements = _statements(text, reader)
    if lines and (last := reader.whole(lines[-1])):
        if len({whole for line in lines if (whole := reader.whole(line))}) > 1 and not statements:
            return None
        statements.append((len(text), {last}))
    if statements:
        _, stated = max(statements, key=lambda statement: statement[0])
        return stated.pop() if len(stated) == 1 else None

    first = _leading(lines, reader)
    if first is not None:
        return first
    if not finished:
        return None
    affirmed = {option for match, option in reader.mentions(text) if not _denied(text, match)}
    return affirmed.pop() if len(affirmed) == 1 else None


def _without_echo(lines: list[str], reader: _Reader) -> list[str]:
    """Lines without a repetition of the question's list of options."""
    wholes = [reader.whole(line) for line in lines]
    listed = [wholes.index(option) for option in reader.options if option in wholes]
    if len(reader.options) < 2 or len(listed) < len(reader.options):
        return lines
    return [line for index, line in enumerate(lines) if index not in listed]


def _statements(text: str, reader: _Reader) -> list[tuple[int, set[str]]]:
    """Where the text says which option is the answer, and which ones it names there."""
    found = []
    for cue in (*CUE.finditer(text), *IS.finditer(text)):
        before = SENTENCE_END.split(text[: cue.start()])[-1]
        named = reader.stated(text[cue.end() :])
        if named and not DENIAL.search(before) and not CONDITION.search(before):
            found.append((cue.start(), named))
    for match, option in reader.mentions(text):
        if CONFIRMED.match(text, match.end()) and not _denied(text, match):
            found.append((match.start(), {option}))
    for match in re.finditer(r"(?<![\w'-])A\b", text):
        if CONFIRMED.match(text, match.end()) and not _denied(text, match):
            found.append((match.start(), {reader.options[0]}))
    return found


def _leading(lines: list[str], reader: _Reader) -> str | None:
    """The option that the reply begins with, set off from what follows."""
    if not lines:
        return None
    line = lines[0].lstrip()
    option, end = reader.begin(line)
    rest = line[end:]
    if option is None or not re.match(r"\s*(?:$|[.,;:!)\]}'-]|because\b|since\b)", rest):
        return None
    # "Blur, motion blur or haze" only lists; so does "A, B".
    named = reader.stated(line)
    return option if named == {option} else None


def _denied(text: str, match: re.Match) -> bool:
    """Whether the sentence denies what is mentioned at the match, or makes it conditional."""
    before = SENTENCE_END.split(text[: match.start()])[-1]
    if CONDITION.search(before) or DENIED_AFTER.match(text, match.end()):
        return True
    denials = list(DENIAL.finditer(before))
    return bool(denials) and not TURN.search(before, denials[-1].end())
