// Charts of lines and of bars, as SVG. Each says in words what it shows.

import { h, svg } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 96;
const LEFT = 44;
const BOTTOM = 16;
// What a chart of lines spans, in seconds: what there is, from a minute on.
const SPANS_S = [60, 120, 300];

function niceMost(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

class Figure {
  constructor(title, hint) {
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + BOTTOM}`, role: "img" });
    this.now = h("span", { class: "now" });
    this.element = h("figure", { class: "chart" },
      h("figcaption", {}, h("span", { text: title }), this.now, hint && h("small", { class: "quiet", text: hint })),
      this.picture);
    this.title = title;
  }

  frame(most, shown) {
    return [
      svg("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: 6, y2: 6 }),
      svg("text", { x: LEFT - 6, y: 10, "text-anchor": "end" }, shown(most)),
      svg("text", { x: LEFT - 6, y: HEIGHT, "text-anchor": "end" }, "0"),
    ];
  }
}

// One or more lines over the last five minutes. `lines`: of {label, kind}; `shown`: makes a text of a value.
export class LineChart extends Figure {
  constructor(title, lines, shown) {
    super(title);
    this.lines = lines;
    this.shown = shown;
    if (lines.length > 1) {
      this.element.append(h("ul", { class: "legend" },
        lines.map((line) => h("li", {}, h("span", { class: `key ${line.kind}`, "aria-hidden": "true" }), line.label))));
    }
  }

  // `all`: the points of each line, as [time, value].
  update(all) {
    const end = Math.max(...all.map((points) => points.at(-1)?.[0] ?? 0));
    const begin = Math.min(end, ...all.map((points) => points[0]?.[0] ?? end));
    const span = SPANS_S.find((seconds) => seconds >= end - begin) ?? SPANS_S.at(-1);
    const most = niceMost(Math.max(0, ...all.flat().map(([, value]) => value)));
    const x = (time) => LEFT + (WIDTH - LEFT) * Math.max(0, 1 - (end - time) / span);
    const y = (value) => HEIGHT - (HEIGHT - 6) * (value / most);
    const paths = all.map((points, index) => {
      const line = points.map(([time, value], step) => `${step ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("");
      const area = points.length > 1 && index === 0
        ? svg("path", { class: `area ${this.lines[0].kind}`, d: `${line}L${x(end)} ${HEIGHT}L${x(points[0][0]).toFixed(1)} ${HEIGHT}Z` })
        : null;
      return [area, svg("path", { class: `line ${this.lines[index].kind}`, d: line })];
    });
    const latest = all.map((points) => points.at(-1)?.[1] ?? 0);
    this.picture.replaceChildren(
      ...this.frame(most, this.shown),
      svg("text", { x: LEFT, y: HEIGHT + 13 }, `${span / 60} min ago`),
      svg("text", { x: WIDTH, y: HEIGHT + 13, "text-anchor": "end" }, "now"),
      ...paths.flat().filter(Boolean));
    this.now.textContent = latest.map(this.shown).join(" / ");
    const said = this.lines.map((line, index) => `${line.label} now ${this.shown(latest[index])}`).join(", ");
    this.picture.setAttribute("aria-label", `${this.title}, last ${span / 60} minutes: ${said}, at most ${this.shown(Math.max(0, ...all.flat().map(([, value]) => value)))}.`);
  }
}

// A histogram. Empty buckets at both ends are left out.
export class BarChart extends Figure {
  constructor(title, hint, shown) {
    super(title, hint);
    this.shown = shown;
  }

  // `bounds`: the upper ends of the buckets but the last.
  update(bounds, buckets, summary = "") {
    const first = buckets.findIndex(Boolean);
    this.now.textContent = summary;
    if (first < 0) {
      this.picture.replaceChildren(svg("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "No requests yet"));
      this.picture.setAttribute("aria-label", `${this.title}: no requests yet.`);
      return;
    }
    const last = buckets.length - 1 - [...buckets].reverse().findIndex(Boolean);
    const [from, to] = [Math.max(0, first - 1), Math.min(buckets.length - 1, last + 1)];
    const shownBuckets = buckets.slice(from, to + 1);
    const label = (index) => index < bounds.length ? this.shown(bounds[index]) : `> ${this.shown(bounds.at(-1))}`;
    const most = niceMost(Math.max(...shownBuckets));
    const step = (WIDTH - LEFT) / shownBuckets.length;
    const every = Math.ceil(48 / step);
    this.picture.replaceChildren(
      ...this.frame(most, String),
      ...shownBuckets.flatMap((number, index) => {
        const height = (HEIGHT - 6) * (number / most);
        const place = LEFT + index * step;
        return [
          svg("rect", { class: "bar", x: place + 1, width: Math.max(step - 2, 1), y: HEIGHT - height, height },
            svg("title", {}, `up to ${label(from + index)}: ${number}`)),
          index % every === 0 && svg("text", { x: Math.min(place + step / 2, WIDTH - 18), y: HEIGHT + 13, "text-anchor": "middle" }, label(from + index)),
        ].filter(Boolean);
      }));
    const said = shownBuckets.map((number, index) => number && `${number} up to ${label(from + index)}`).filter(Boolean).join(", ");
    this.picture.setAttribute("aria-label", `${this.title}: ${said}.`);
  }
}
