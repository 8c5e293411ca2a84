// The newest lines of a model's log, as they come.

import { modelPath } from "./api.js";
import { h } from "./dom.js";

const MOST_LINES = 1000;

export class LogView {
  constructor(model) {
    this.model = model;
    this.lines = h("pre", { class: "log", tabindex: "0", role: "log", "aria-label": "Log of the model", "aria-live": "off" });
    this.note = h("p", { class: "quiet", role: "status" });
    this.follow = h("input", { type: "checkbox", checked: true });
    this.element = h("section", {}, h("div", { class: "head" }, h("h2", { text: "Log" }), h("span", { class: "spring" }),
      h("label", {}, this.follow, " Scroll along")), this.note, this.lines);
  }

  show() {
    this.lines.replaceChildren();
    this.note.textContent = "Connecting…";
    this.source = new EventSource(`${modelPath({ name: this.model.name, version: null }, "logs")}?lines=200`);
    this.source.addEventListener("open", () => { this.note.textContent = "Live."; });
    this.source.addEventListener("message", (event) => this.add(JSON.parse(event.data)));
    this.source.addEventListener("lost", () => this.append("… lines were lost", "quiet"));
    this.source.addEventListener("error", () => {
      this.note.textContent = this.source.readyState === EventSource.CLOSED ? "The log cannot be read." : "The connection has ended; trying again…";
    });
  }

  add({ time, level, worker, message }) {
    this.append([time, level, worker, message].filter(Boolean).join("  "), { WARN: "warn-text", ERROR: "bad-text", FATAL: "bad-text" }[level]);
  }

  append(text, kind) {
    this.lines.append(h("span", { class: kind, text: `${text}\n` }));
    while (this.lines.childElementCount > MOST_LINES) this.lines.firstElementChild.remove();
    if (this.follow.checked) this.lines.scrollTop = this.lines.scrollHeight;
  }

  hide() {
    this.source?.close();
  }
}
