// All models at one look.

import { loadModel } from "./actions.js";
import { LineChart } from "./charts.js";
import { h, LiveTable } from "./dom.js";
import { bytes, clock, count, quantile, seconds } from "./numbers.js";
import { hrefOf, nameOf, pillOf } from "./states.js";
import { keyOf } from "./history.js";

export class Overview {
  constructor() {
    this.title = "Models";
    this.tiles = {};
    const tile = (name) => h("div", {}, h("dt", { text: name }), (this.tiles[name] = h("dd", { text: "–" })));
    this.charts = [
      new LineChart("Answers a second", [{ label: "all", kind: "first" }], count),
      new LineChart("Requests waiting / running", [{ label: "waiting", kind: "first" }, { label: "running", kind: "second" }], count),
      new LineChart("Requests of a batch", [{ label: "mean", kind: "first" }], count),
    ];
    this.models = new LiveTable("Models", [
      ["Model", "wide-name"], ["State", ""], ["Workers", "number"], ["Waiting", "number"], ["Requests/s", "number"],
      ["p50", "number"], ["p99", "number"], ["Batch", "number"], ["Errors", "number"], ["Memory", "number"],
    ], "No models. Load one.");
    this.errors = new LiveTable("Recent errors", [
      ["Time", ""], ["Status", ""], ["Model", ""], ["Message", "wide"], ["Request", "code"],
    ], "No errors so far.");
    this.filter = h("input", { type: "search", id: "filter", placeholder: "Filter by name", "aria-label": "Filter models by name",
      oninput: () => this.last && this.update(...this.last) });
    this.more = h("p", { class: "quiet" });
    this.problems = h("ul", { class: "reasons bad-text" });
    this.element = h("div", {},
      h("h1", { text: "Models" }),
      this.problems,
      h("dl", { class: "tiles" }, ["Models ready", "Workers", "Requests/s", "p50, last minute", "p99, last minute", "Waiting"].map(tile)),
      h("div", { class: "charts" }, this.charts.map((chart) => chart.element)),
      h("section", { "aria-labelledby": "models-title" },
        h("div", { class: "head" }, h("h2", { id: "models-title", text: "Models" }), h("span", { class: "spring" }), this.filter,
          h("button", { type: "button", class: "primary", text: "Load a model…", onclick: loadModel })),
        this.models.element, this.more),
      h("section", { "aria-labelledby": "errors-title" },
        h("h2", { id: "errors-title", text: "Recent errors" }), this.errors.element));
  }

  update(snapshot, history) {
    this.last = [snapshot, history];
    const { totals, server, timeBounds } = snapshot;
    const whole = history.total;
    const times = whole.recent("times") || [];
    this.tiles["Models ready"].textContent = `${totals.ready} / ${totals.models}`;
    this.tiles.Workers.textContent = count(totals.workers);
    this.tiles["Requests/s"].textContent = count(whole.rate());
    this.tiles["p50, last minute"].textContent = seconds(quantile(timeBounds, times, 0.5));
    this.tiles["p99, last minute"].textContent = seconds(quantile(timeBounds, times, 0.99));
    this.tiles.Waiting.textContent = count(totals.waiting);
    this.charts[0].update([whole.rates("answers")]);
    this.charts[1].update([whole.values("waiting"), whole.values("inFlight")]);
    this.charts[2].update([whole.batchSizes()]);
    const said = JSON.stringify(server.problems);
    if (said !== this.said) {
      this.said = said;
      this.problems.replaceChildren(...server.problems.map((text) => h("li", { text })));
    }
    const wanted = this.filter.value.trim().toLowerCase();
    this.models.update(snapshot.models.filter((model) => model.name.toLowerCase().includes(wanted)).map((model) => {
      const track = history.of(model);
      const own = track.recent("times") || [];
      const batches = track.recent("batches");
      const ready = model.workers.filter((worker) => worker.state === "READY" || worker.state === "BUSY").length;
      return {
        key: keyOf(model),
        cells: [
          { text: nameOf(model), href: hrefOf(model), title: model.isDefault ? "the default version" : "not the default version" },
          { text: model.state, class: pillOf(model.state), title: model.reasons[0] },
          model.hasWorkers ? `${ready} / ${model.workerCount}` : "–",
          count(model.waiting), count(track.rate()),
          seconds(quantile(timeBounds, own, 0.5)), seconds(quantile(timeBounds, own, 0.99)),
          batches ? count(track.recent("inBatches") / batches) : "–",
          count(model.answers.ofServer),
          bytes(model.workers.reduce((total, worker) => total + worker.memory, 0)),
        ],
      };
    }));
    const missing = totals.models - snapshot.models.length;
    this.more.textContent = missing > 0 ? `${missing} more models are not shown: those with trouble and with requests come first.` : "";
    this.errors.update(snapshot.errors.map((error) => ({
      key: JSON.stringify([error.time, error.requestId]),
      cells: [
        clock(error.time), { text: String(error.status), class: error.status >= 500 ? "pill bad" : "pill warn" },
        nameOf({ name: error.model || "–", version: error.version || null }), error.message || "(the model's own answer)", error.requestId,
      ],
    })));
  }
}
