// How far the newest requests lie from what the model was trained on.

import { call, modelPath } from "./api.js";
import { h, put, svg, table } from "./dom.js";
import { pillOf } from "./states.js";

const MOST_BARS = 40;

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
    const number = (value) => (typeof value === "number" ? value.toPrecision(3) : "–");
    return [
      h("p", {}, h("span", { class: pillOf(found.status), text: found.status }),
        ` General drift ${number(found.general_drift)} over ${found.requests} requests, compared with ${found.reference}.`),
      found.features.length ? chart(found.features) : null,
      table("Drift of each feature", [
        "Feature", "Kind", "Status", ["Drift", "number"], ["Total variation", "number"], ["Hellinger", "number"],
        ["Mean now", "number"], ["Mean before", "number"], ["Values", "number"],
      ], found.features.map((each) => [
        each.name, each.kind, h("span", { class: pillOf(each.status), text: each.status }), number(each.drift), number(each.tvd),
        number(each.hellinger), number(each.actual.mean), number(each.expected.mean), String(each.count),
      ]), { empty: "No feature could be compared." }),
      found.missing.length ? h("p", { class: "quiet", text: `Not in the requests: ${found.missing.join(", ")}.` }) : null,
      found.unknown.length ? h("p", { class: "quiet", text: `Not in the reference: ${found.unknown.join(", ")}.` }) : null,
    ];
  }
}

// A bar for each feature, from 0 to 1, with the two thresholds.
function chart(features) {
  const shown = features.slice(0, MOST_BARS);
  // On a narrow screen the drawing is as much narrower, since text in it shrinks with it.
  const isNarrow = window.matchMedia("(max-width: 40rem)").matches;
  const [width, left, row] = isNarrow ? [290, 90, 24] : [640, 170, 24];
  const most = isNarrow ? 13 : 24;
  const height = shown.length * row;
  const x = (value) => left + (width - left - 40) * Math.min(Math.max(value, 0), 1);
  const said = shown.map((each) => `${each.name} ${(each.drift ?? 0).toFixed(2)}`).join(", ");
  return h("figure", { class: "chart drift" },
    h("figcaption", {}, h("span", { text: "Drift of each feature" }), h("small", { class: "quiet", text: "0 is none; possible from 0.5, detected from 0.7" })),
    svg("svg", { viewBox: `0 0 ${width} ${height + 20}`, role: "img", "aria-label": `Drift of each feature: ${said}.` },
      [0.5, 0.7].map((limit) => [
        svg("line", { class: "grid", x1: x(limit), x2: x(limit), y1: 0, y2: height }),
        svg("text", { x: x(limit), y: height + 14, "text-anchor": "middle" }, String(limit)),
      ]),
      svg("line", { class: "axis", x1: left, x2: left, y1: 0, y2: height }),
      shown.map((each, index) => [
        svg("text", { x: left - 8, y: index * row + 16, "text-anchor": "end" }, each.name.length > most ? `${each.name.slice(0, most - 1)}…` : each.name),
        svg("rect", { class: each.drift >= 0.5 ? "bar alert" : "bar", x: left, y: index * row + 4, height: row - 8, width: Math.max(x(each.drift ?? 0) - left, 1) }),
        svg("text", { x: x(each.drift ?? 0) + 6, y: index * row + 16 }, (each.drift ?? 0).toFixed(2)),
      ])));
}
