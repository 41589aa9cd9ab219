// A finding by keyboard: fault (type to filter, Enter), severity (m or s), place (or Enter).
const NOWHERE = "no place";

export class Composer {
  /**
   * @param {(id: string) => HTMLElement} element by id
   * @param {{add: (finding: object) => void, removeLast: () => void, closed: () => void}} on
   */
  constructor(element, on) {
    this.box = element("composer");
    this.label = element("composer-label");
    this.input = element("filter");
    this.list = element("choices");
    this.on = on;
    this.input.addEventListener("input", () => this.fill());
    this.input.addEventListener("keydown", (event) => this.key(event));
  }

  /** Ask for a finding; `first` are the faults to offer before the others. */
  open(faults, places, first) {
    this.faults = [...new Set([...first, ...faults])];
    this.places = [NOWHERE, ...places];
    this.finding = { label: "", severity: "", place: "" };
    this.box.hidden = false;
    this.ask("fault");
  }

  close() {
    if (this.box.hidden) return;
    this.input.blur(); // a hidden field keeps the focus until the next frame
    this.box.hidden = true;
    this.on.closed();
  }

  ask(step) {
    const { label, severity } = this.finding;
    this.step = step;
    this.label.textContent = {
      fault: "Which fault? Type to filter, Enter takes it",
      severity: `${label}: m mild, s severe`,
      place: `${severity} ${label}, where? Enter: ${NOWHERE}`,
    }[step];
    this.input.value = "";
    this.fill();
    this.input.focus();
    this.box.scrollIntoView({ block: "nearest" });
  }

  fill() {
    const all = { fault: this.faults, severity: ["mild", "severe"], place: this.places }[this.step];
    const words = this.input.value.toLowerCase().split(/\s+/);
    this.matches = all.filter((one) => words.every((word) => one.includes(word)));
    this.at = 0;
    this.list.replaceChildren(...this.matches.map((one, index) => {
      const item = document.createElement("li");
      item.id = `choice-${index}`;
      item.role = "option";
      item.textContent = one;
      item.addEventListener("mousedown", (event) => {
        event.preventDefault(); // the field keeps the focus
        this.take(one);
      });
      return item;
    }));
    this.select();
  }

  select() {
    [...this.list.children].forEach((item, index) => {
      item.ariaSelected = String(index === this.at);
      if (index === this.at) item.scrollIntoView({ block: "nearest" });
    });
    this.input.setAttribute("aria-activedescendant", this.matches.length ? `choice-${this.at}` : "");
  }

  take(choice) {
    if (this.step === "fault") {
      this.finding.label = choice;
      this.ask("severity");
    } else if (this.step === "severity") {
      this.finding.severity = choice;
      this.ask("place");
    } else {
      this.finding.place = choice === NOWHERE ? "" : choice;
      this.on.add(this.finding);
      this.close();
    }
  }

  key(event) {
    const { key } = event;
    if (event.isComposing) return;
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (key === "Escape") this.close();
    else if (key === "Enter" && this.matches.length) this.take(this.matches[this.at]);
    else if (key in moves && this.matches.length) {
      this.at = (this.at + moves[key] + this.matches.length) % this.matches.length;
      this.select();
    } else if (this.step === "severity" && (key === "m" || key === "s")) {
      this.take(key === "m" ? "mild" : "severe");
    } else if (key === "Backspace" && this.input.value === "" && this.step === "fault") {
      this.on.removeLast();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
