// How far the newest requests lie from what the model was trained on.

import { call, modelPath } from "./api.js";
import { h, put, svg, table } from "./dom.js";

export class DriftView {
  constructor(model) {
    this.model = model;
    this.place = null;
    this.shown = h("div");
    this.element = h("section", {}, h("div", { class: "head" }, h("h2", { text: "Drift" }), h("span", { class: "spring" }),
      h("button", { type: "button", text: "Measure again", onclick: () => this.show() })), this.shown);
  }

  async show() {
    put(this.shown, h("p", { class: "quiet", text: "Measuring…" }));
    try {
      const found = await call("GET", modelPath(this.model, "drift"));
      put(this.shown, this.report(found));
    } catch (error) {
      put(this.shown, h("p", { text: error.message }));
    }
  }

  report(found) {
    return [h("pre", { class: "log", tabindex: "0", text: JSON.stringify(found, null, 2) })];
  }
}
