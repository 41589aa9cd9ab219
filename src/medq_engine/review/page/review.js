// The review page: where the reader is, what they say, that it is saved, and what keys do.
import { Composer } from "./composer.js";
import { Stopwatch } from "./stopwatch.js";
import { $, OPTION_KEYS, imageAddress, say, showExamples, showLevels, showProgress, showTask } from "./view.js";
import { Viewer } from "./viewer.js";

const TYPING = 700; // ms without a key after which typed text is saved
const EMPTY = { answer: "", verdict: "", findings: [], text: "", note: "", unjudged: "" };

const stopwatch = new Stopwatch();
const viewer = new Viewer($("canvas"), showLevels);
const composer = new Composer($, { add: addFinding, removeLast, closed: () => render() });

let who = "";
let places = [];
let task = null; // as the server sent it; null at the end
let draft = EMPTY; // what is on the page
let saved = EMPTY; // what is in the file
let refusal = ""; // why the draft is not in the file
let version = 0; // of the draft
let example = -1; // the one that is shown in the place of the image
let typing = 0; // timer of the text that is being typed
let visit = 0; // of a text field: its changes are undone together
let moving = true; // to another task, or to the first one: keys wait in `waiting`
let waiting = [];
let queue = Promise.resolve(); // requests go one after the other

// ---- talking to the server -------------------------------------------------------------------

class Offline extends Error {}

async function ask(path, body = {}) {
  const text = JSON.stringify({ annotator: who, ...body });
  let response;
  try {
    response = await fetch(`/api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: text,
      keepalive: text.length < 15000, // also while the page is being closed
    });
  } catch {
    throw new Offline("the server does not answer. What was saved is in the file: start " +
      "`medq review` again and open the address that it prints");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function enqueue(action) {
  queue = queue.then(action).catch((error) => say(error.message));
  return queue;
}

function entry() {
  return { task_id: task.task_id, adjudicates: task.adjudicates };
}

function edit(changes, step = "") {
  if (task === null) return;
  draft = { ...draft, ...changes };
  version += 1;
  render("Saving");
  enqueue(() => push(step));
}

async function push(step) {
  const [sent, content, seconds] = [version, draft, stopwatch.take()];
  const looked = task.blind && task.hints !== null;
  try {
    const answer = await ask("save", { at: entry(), content, seconds, looked, step });
    saved = answer.task.content;
    task.saved = true;
    task.description = answer.task.description;
    showProgress(answer.progress);
    if (sent !== version) return; // the next request is on its way
    refusal = "";
    draft = saved;
    say("");
    render();
  } catch (error) {
    if (error instanceof Offline) stopwatch.seconds += seconds;
    if (sent !== version) return;
    refusal = error.message;
    say(`Not saved: ${refusal}. (Esc goes back to what is saved)`);
    render();
  }
}

/** Go somewhere: `action` returns the server's answer with the task to show. */
function move(action) {
  if (moving) return;
  flush();
  moving = true;
  enqueue(async () => {
    if (refusal) throw new Error(`Not saved: ${refusal}. Mend it, or press Esc to go back to what is saved`);
    const answer = await action();
    showProgress(answer.progress);
    show(answer.task);
  }).then(() => {
    moving = false;
    const keys = waiting;
    waiting = [];
    // What opens a field takes what was typed behind it: better lost than taken for commands.
    for (const key of keys) if (!isText(document.activeElement)) press(key);
  });
}

function step(back = false) {
  move(() => ask("step", { at: task && entry(), back, seconds: stopwatch.take() }));
}

function undo() {
  if (refusal) return revert();
  move(async () => {
    if (task) await ask("spend", { at: entry(), seconds: stopwatch.take() });
    return ask("undo");
  });
}

function revert() {
  version += 1;
  draft = saved;
  refusal = "";
  say("");
  render();
}

// ---- what people say -------------------------------------------------------------------------

function choose(option) {
  // Another answer is another reading; but a refused one may be what mends the draft.
  const anew = draft.unjudged || (task.saved && !refusal);
  if (option === undefined || option === draft.answer) return;
  edit(anew ? { ...EMPTY, note: draft.note, answer: option } : { answer: option });
}

function judge(verdict) {
  edit({ verdict: draft.verdict === verdict ? "" : verdict, unjudged: "" });
}

function addFinding(finding) {
  const others = draft.findings.filter((one) => one.label !== finding.label);
  edit({ findings: [...others, finding], unjudged: "" });
}

function removeFinding(label) {
  edit({ findings: draft.findings.filter((one) => one.label !== label) });
}

function removeLast() {
  if (draft.findings.length) removeFinding(draft.findings.at(-1).label);
}

function compose() {
  const asked = draft.answer === "Yes" ? task.attribute : draft.answer;
  composer.open(task.faults, places, task.faults.filter((fault) => fault === asked));
}

function giveUp() {
  const unjudged = $("unjudged").value;
  if (!unjudged.trim()) return say("Say why it cannot be judged");
  edit({ ...EMPTY, note: draft.note, unjudged });
  $("unjudged").blur();
}

/** Save what is being typed, now. */
function flush() {
  clearTimeout(typing);
  if (task === null) return;
  const typed = { text: $("text").value, note: $("note").value };
  if (typed.text !== draft.text || typed.note !== draft.note) edit(typed, `typed-${visit}`);
}

function look() {
  if (task.hints) return;
  enqueue(async () => {
    task.hints = await ask("hints", { at: entry() });
    picture();
    render();
  });
}

function rename() {
  $("new-name").value = who;
  $("names").showModal();
  $("new-name").select();
}

// ---- what people see -------------------------------------------------------------------------

function show(next) {
  const other = !task || !next || next.task_id !== task.task_id || next.adjudicates !== task.adjudicates;
  task = null; // what a field still holds is of the task before
  document.activeElement.blur();
  clearTimeout(typing);
  task = next;
  draft = saved = next ? next.content : EMPTY;
  version += 1;
  refusal = "";
  example = -1;
  $("task").hidden = !next;
  $("end").hidden = Boolean(next);
  say("");
  if (other) {
    stopwatch.restart();
    $("reading").scrollTop = 0;
  }
  if (!next) return;
  composer.close();
  picture();
  render();
}

/** The image, or an example in its place. */
function picture() {
  const shown = task.hints?.examples[example];
  $("caption").textContent = shown
    ? `Example ${example + 1} of ${task.hints.examples.length}: ${shown.findings} (x goes on)` : "";
  $("canvas").ariaLabel = shown ? `Example: ${shown.reference}` : `${task.modality} image to be judged`;
  viewer.load(imageAddress(shown ? shown.image_id : task.image_id), task.windowed)
    .catch((error) => say(error.message));
  showExamples(task.hints, example, nextExample);
}

function nextExample(index = example + 1) {
  const count = task.hints ? task.hints.examples.length : 0;
  example = index < count && index !== example ? index : -1;
  picture();
}

function render(state = "") {
  if (!task) return;
  const text = state || (refusal ? "Not saved" : task.saved ? "Saved" : "");
  showTask(task, draft, { text, refused: Boolean(refusal) }, { choose, compose, remove: removeFinding });
}

// ---- keys ------------------------------------------------------------------------------------

const COMMANDS = {
  n: () => step(), p: () => step(true), z: undo, w: rename, "?": () => $("keys").showModal(),
};
const TASK_COMMANDS = {
  g: () => judge("good"), u: () => judge("usable"), r: () => judge("reject"),
  f: compose, t: () => $("text").focus(), o: () => $("note").focus(), c: () => $("unjudged").focus(),
  h: look, x: () => nextExample(), "+": () => viewer.zoomBy(1.25), "=": () => viewer.zoomBy(1.25),
  "-": () => viewer.zoomBy(0.8), 0: () => viewer.reset(), Escape: revert,
};
const LEVEL_COMMANDS = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, 16], ArrowDown: [0, -16] };

/** Do what a key means; true if it means something. */
function press(key) {
  const level = task?.windowed && LEVEL_COMMANDS[key];
  if (key in COMMANDS) COMMANDS[key]();
  else if (task && key in TASK_COMMANDS) TASK_COMMANDS[key]();
  else if (level) viewer.setLevels(viewer.level + level[0], viewer.width + level[1]);
  else if (task && key.length === 1 && OPTION_KEYS.includes(key)) choose(task.options[OPTION_KEYS.indexOf(key)]);
  else return false;
  return true;
}

function isText(element) {
  return element.matches("textarea, input[type=text]");
}

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isText(target)) {
    if (key === "Escape") target.blur();
    return;
  }
  if (target.type === "range" && key.startsWith("Arrow")) return;
  if (event.repeat && !key.startsWith("Arrow") && !"+-=".includes(key)) return;
  if (moving) waiting.push(key);
  else if (!press(key)) return;
  event.preventDefault();
});

for (const name of ["pointerdown", "pointermove", "wheel", "keydown"]) {
  document.addEventListener(name, () => stopwatch.touch(), { passive: true, capture: true });
}
document.addEventListener("visibilitychange", () => {
  stopwatch.show(!document.hidden);
  if (document.hidden && task) {
    flush();
    const at = entry();
    enqueue(() => ask("spend", { at, seconds: stopwatch.take() }));
  }
});
for (const name of ["text", "note"]) {
  $(name).addEventListener("focus", () => { visit += 1; });
  $(name).addEventListener("blur", flush);
  $(name).addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(flush, TYPING);
  });
}
$("unjudged").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.isComposing) giveUp();
});
$("unjudged").addEventListener("blur", () => { if (task) $("unjudged").value = draft.unjudged; });
for (const one of document.querySelectorAll("[data-verdict]")) {
  one.addEventListener("click", () => judge(one.dataset.verdict));
}
const CLICKS = {
  previous: () => step(true), next: () => step(), undo, ask: look, who: rename,
  help: () => $("keys").showModal(), "end-previous": () => step(true), "end-undo": undo,
  "end-next-task": () => step(),
};
for (const [id, click] of Object.entries(CLICKS)) $(id).addEventListener("click", click);
$("level").addEventListener("input", () => viewer.setLevels($("level").valueAsNumber, viewer.width));
$("window").addEventListener("input", () => viewer.setLevels(viewer.level, $("window").valueAsNumber));
$("names").addEventListener("close", () => {
  const name = $("new-name").value;
  if (name === who || !name.trim()) return;
  sessionStorage.setItem("annotator", name);
  begin(name);
});

function begin(name) {
  move(async () => {
    if (task) await ask("spend", { at: entry(), seconds: stopwatch.take() });
    who = name;
    $("name").textContent = name;
    task = null;
    return ask("step");
  });
}

stopwatch.show(!document.hidden);
enqueue(async () => {
  const start = await ask("start");
  places = start.places;
  moving = false;
  begin(sessionStorage.getItem("annotator") ?? start.annotator);
});
