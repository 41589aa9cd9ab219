import pytest

from medq_engine.endpoints.answers import parse_option

WHAT = ("blur", "motion blur", "no degradation", "metal streak")
YES_NO = ("Yes", "No")
HOW = ("None", "Mild", "Severe")


@pytest.mark.parametrize(
    "reply",
    [
        "B",
        "b",
        "B.",
        "(B)",
        "[B]",
        "'B'",
        '"B"',
        "**B**",
        "B)",
        " B\n",
        "B. motion blur",
        "(B) Motion blur",
        "B: motion-blur.",
        "B - motion blur",
        "B \u2014 motion blur",
        "**B. Motion blur**",
        "B motion blur",
        "motion blur",
        "Motion Blur.",
        "a motion blur",
        "A motion blur",
        "Answer: B",
        "Answer B",
        "**Answer:** B",
        "Answer:\nB",
        "answer: b",
        "Answer: (B) motion blur",
        "The answer is B",
        "The answer is b.",
        "The answer is **B**.",
        "The answer is option B, since edges are doubled.",
        "The answer is a motion blur.",
        "The correct answer is: B",
        "The answer to this question is most likely B.",
        "The correct option is (B).",
        "The answer would be B.",
        "My choice: B",
        "I would choose B.",
        "I'd go with option B.",
        "B is correct.",
        "B. Motion blur is the correct answer.",
        "Option B is the best answer.",
        "B because the edges are doubled",
        "B. Edges are doubled, and A is not what is seen.",
        r"\boxed{B}",
        r"So the answer is $\boxed{\text{B}}$.",
        "<answer>B</answer>",
        '{"answer": "B"}',
        '```json\n{"answer": "B. motion blur", "confidence": 0.9}\n```',
        '{"reasoning": "A would show a soft edge", "answer": "B"}',
        '{"option": "B"}',
        "<think>Perhaps A. The answer is A?</think>\nB",
        "The user asks about option A.</think>The answer is B.",
        "The edges are doubled in one direction.\nA blur would be the same in all.\n\nB",
        "A soft image. There is a motion blur.",
        "The image shows motion blur.",
        "The most visible fault is **B. Motion blur**.\n\nThe blur has a direction.",
        "There is no blur, only motion blur.",
        "It is not A, it is B.",
        "It isn't A but B.",
        "Motion blur rather than blur.",
        "The answer is not A. The answer is B.",
        "The answer is A. No, wait: edges are doubled. The answer is B.",
        "If edges were soft the answer would be A. The answer is B.",
        "I think it is B.",
        "A. blur\nB. motion blur\nC. no degradation\nD. metal streak\nB. motion blur",
        "A. blur\nB. motion blur\nC. no degradation\nD. metal streak\n\nAnswer: B",
        "There is a blur here; final answer: B",
    ],
)
def test_motion_blur_is_read(reply):
    assert parse_option(reply, WHAT) == "motion blur"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "  \n",
        "E",
        "The answer is",
        "Answer:",
        "The answer is E.",
        "A motion artefact can be seen in a corner.",
        "A blurry image with a strange corner.",
        "I see a picture of a head.",
        "I cannot tell.",
        "I cannot determine whether it is motion blur or blur.",
        "It is A or B.",
        "It could be B or A.",
        "I cannot say whether it is B.",
        "The answer is A or B.",
        "The answer is A or perhaps B.",
        "Answer: A, B",
        "Answer: A/B",
        '{"answer": ["A", "B"]}',
        '{"answer": null}',
        "blur, motion blur",
        "There is blur and motion blur.",
        "not B",
        "The answer is not B.",
        "B is wrong.",
        "It is not motion blur.",
        "Motion blur is not visible.",
        "There is neither blur nor motion blur.",
        "no motion blur, blur or metal streak",
        "B. blur",
        "A. blur\nB. motion blur\nC. no degradation\nD. metal streak",
        "<think>The answer is B, or",
        "Answer with the letter of one option only.",
        "motion",
        r"\boxed{}",
        "The C-arm was turned.",
        "Motion blurring",
        "If edges were doubled the answer would be B.",
    ],
)
def test_what_is_unclear_stays_unread(reply):
    assert parse_option(reply, WHAT) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("A", "blur"),
        ("a", "blur"),
        ("A.", "blur"),
        ("(a)", "blur"),
        ("A blur", "blur"),
        ("blur", "blur"),
        ("The answer is a", "blur"),
        ("The answer is A because edges are soft.", "blur"),
        ("The answer is (A).", "blur"),
        ("A is correct.", "blur"),
        ("Only blur can be seen.", "blur"),
        ("D", "metal streak"),
        ("No degradation.", "no degradation"),
        ("There is no degradation.", "no degradation"),
    ],
)
def test_other_options_are_read(reply, expected):
    assert parse_option(reply, WHAT) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Yes", "Yes"),
        ("yes.", "Yes"),
        ("A. Yes", "Yes"),
        ("B", "No"),
        ("No", "No"),
        ("No, there is none.", "No"),
        ("No. The edges are sharp.", "No"),
        ("No there is not", "No"),
        ("Yes, there is no doubt.", "Yes"),
        ("Answer: No", "No"),
        ("The answer is no.", "No"),
        ("Yes, this image has a motion blur in it.", "Yes"),
        ("Let me see. Edges are doubled, so yes.", "Yes"),
        ("Yes and no.", None),
        ("Yes or No?", None),
        ("Yes/No", None),
        # A determiner, as the article is: free of noise may be what was asked about.
        ("No motion blur is visible.", None),
        ("The answer is no motion blur.", None),
        ("There is no way to know it.", None),
        ("I see a motion blur.", None),
    ],
)
def test_yes_and_no(reply, expected):
    assert parse_option(reply, YES_NO) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Mild", "Mild"),
        ("The degradation is mild.", "Mild"),
        ("It is mild, not severe.", "Mild"),
        ("The degradation isn't severe.", None),
        ("mild to severe", None),
        ("moderate", None),
        ("None", "None"),
        ("The severity is none.", "None"),
        ("None of the above", None),
        ("Answer: none of these", None),
    ],
)
def test_severity(reply, expected):
    assert parse_option(reply, HOW) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("B", "motion blur"),
        ("B. motion bl", "motion blur"),
        ("The answer is B. The edges of the", "motion blur"),
        ("Looking at the edges, motion blur", None),
    ],
)
def test_a_mention_in_a_reply_that_was_cut_is_no_answer(reply, expected):
    assert parse_option(reply, WHAT, finished=False) == expected


def test_the_ninth_option_is_not_the_pronoun():
    options = tuple(f"fault {name}" for name in "rstuvwxyz")
    assert parse_option("I think that something is wrong.", options) is None
    assert parse_option("I", options) == "fault z"
    assert parse_option("The answer is I.", options) == "fault z"


def test_a_question_without_options_has_none():
    assert parse_option("B", ()) is None
