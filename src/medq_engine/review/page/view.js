// What is drawn of a task. Text of tasks and people is only ever set as textContent or value, never
// as HTML.
export const OPTION_KEYS = "123456789abdeijklqvy"; // letters that are no command
const LONG = 300; // characters of a question behind which it gets a box of its own

export const $ = (id) => document.getElementById(id);

function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

function button(text, press, pressed, className = "") {
  const made = make("button", text, className);
  made.type = "button";
  if (pressed !== undefined) made.ariaPressed = String(pressed);
  made.addEventListener("click", press);
  return made;
}

export function say(message) {
  $("alert").textContent = message;
  $("alert").hidden = !message;
}

/** What is done, in the header and at the end. */
export function showProgress({ tag, done, total, seconds, ...batch }) {
  const minutes = Math.round(seconds / 60);
  $("tag").textContent = tag;
  $("progress").max = Math.max(total, 1);
  $("progress").value = done;
  $("count").textContent = `${done} of ${total} · ${minutes} min`;
  $("end-numbers").textContent = `You have done ${done}. Active time: ${minutes} min.`;
  const open = [
    [batch.unanswered, "without an answer"],
    [batch.second, "without a second reader"],
    [batch.disputed, "in dispute, to be adjudicated"],
  ].filter(([count]) => count).map(([count, what]) => `${count} ${what}`);
  $("end-title").textContent = open.length ? "Nothing waits for you" : `All ${batch.tasks} tasks are answered`;
  $("end-others").textContent = open.length
    ? `For others: ${open.join(", ")}. What they have open may come back to you.`
    : "What is next, in a terminal:";
  $("end-next").hidden = open.length > 0;
  $("end-next").textContent =
    `git add data/annotations/${tag}.jsonl\ngit commit -m "${tag}: readings"\ndvc repro`;
}

/** Window, level and zoom of the viewer. */
export function showLevels({ level, width, magnification }) {
  $("level").value = level;
  $("window").value = width;
  $("windowed").textContent = `L ${Math.round(level)}  W ${Math.round(width)}`;
  $("zoom").textContent = `${magnification.toFixed(1)} ×`;
}

/**
 * A task with what is said of it.
 * @param {object} task as the server sends it
 * @param {object} draft what is on the page
 * @param {{text: string, refused: boolean}} state of the draft
 * @param {{choose: (option: string) => void, compose: () => void, remove: (label: string) => void}} on
 */
export function showTask(task, draft, state, on) {
  $("modality").textContent = task.modality;
  $("adjudication").hidden = !task.adjudicates;
  $("state").textContent = state.text;
  $("state").className = state.refused ? "unsaved" : "saved";
  $("levels").hidden = !task.windowed;
  showReadings(task);
  $("question").textContent = task.question;
  $("question").className = task.question.length > LONG ? "long" : "";
  $("options").className = task.options.length > 4 ? "many" : "";
  $("options").replaceChildren(...task.options.map((option, index) => {
    const made = button("", () => on.choose(option), option === draft.answer);
    const text = make("span", option);
    text.dir = "auto";
    made.append(make("kbd", OPTION_KEYS[index] ?? "–"), text);
    return made;
  }));
  for (const one of document.querySelectorAll("[data-verdict]")) {
    one.ariaPressed = String(one.dataset.verdict === draft.verdict);
  }
  showFindings(draft.findings, on);
  $("description").textContent = task.description;
  // What is being typed stays as it is.
  for (const name of ["text", "note", "unjudged"]) {
    if (document.activeElement !== $(name)) $(name).value = draft[name];
  }
  $("ask").hidden = task.hints !== null;
  $("said").hidden = task.hints === null;
  if (task.hints) {
    $("model").textContent = task.hints.model_answer;
    $("sure").value = task.hints.model_probability;
    $("percent").textContent = `${Math.round(100 * task.hints.model_probability)} %`;
    $("draft").textContent = task.hints.draft || "none";
  }
}

function showFindings(findings, on) {
  const add = button("", on.compose, undefined, "add");
  add.append(make("kbd", "f"), " Add a finding");
  const chips = findings.map((one) => {
    const words = `${one.severity} ${one.label} ${one.place}`.trim();
    const made = button(`${words} ×`, () => on.remove(one.label), undefined, one.severity);
    made.ariaLabel = `${words}, delete`;
    made.addEventListener("keydown", ({ key }) => {
      if (key === "Delete" || key === "Backspace") on.remove(one.label);
    });
    return made;
  });
  $("findings").replaceChildren(...chips, add);
}

function showReadings(task) {
  $("others").hidden = !task.adjudicates;
  $("readings").replaceChildren(...task.readings.map((one) => {
    const item = make("li");
    const lines = [
      make("b", one.annotator),
      make("strong", one.answer || "cannot judge"),
      ...[one.verdict && `Verdict: ${one.verdict}`, one.description, one.unjudged, one.note]
        .filter(Boolean).map((text) => make("p", text)),
    ];
    for (const line of lines) line.dir = "auto";
    item.append(...lines);
    return item;
  }));
}

/** The examples beside the image; `shown` is the one in its place, `press` takes another one's number. */
export function showExamples(hints, shown, press) {
  const all = hints?.examples ?? [];
  $("examples").hidden = !all.length;
  $("prototype").textContent = hints?.prototype ?? "";
  $("shown").replaceChildren(...all.map((one, index) => {
    const item = make("li");
    const made = button("", () => press(index), index === shown);
    const image = make("img");
    image.src = imageAddress(one.image_id);
    image.alt = "";
    made.title = one.reference;
    made.append(image, one.findings);
    item.append(made);
    return item;
  }));
}

export function imageAddress(id) {
  return `/images/${encodeURIComponent(id)}`;
}
