// One model: its state, workers, charts, decisions, and what can be done with it.

import { drain, scale, setDefault, unload } from "./actions.js";
import { call, modelPath } from "./api.js";
import { BarChart, LineChart } from "./charts.js";
import { h, LiveTable, put } from "./dom.js";
import { DriftView } from "./drift.js";
import { LogView } from "./logs.js";
import { bytes, clock, count, quantile, seconds } from "./numbers.js";
import { nameOf, pillOf } from "./states.js";
import { TryView } from "./try.js";

const SCALING_MS = 3000;
// The server has looked at its models at least once.
const LOOKS_MS = 2500;

function workersOf({ minWorkers, maxWorkers }) {
  if (minWorkers !== maxWorkers) return `${minWorkers} to ${maxWorkers} workers`;
  return minWorkers === 1 ? "1 worker" : `${minWorkers} workers`;
}

export class ModelView {
  constructor(name, version, mayPredict) {
    this.wanted = { name, version };
    this.openedAt = performance.now();
    this.title = nameOf(this.wanted);
    this.state = h("span", { class: "pill", role: "status" });
    this.reasons = h("ul", { class: "reasons" });
    this.facts = h("p", { class: "quiet" });
    this.trace = h("pre", { class: "trace", tabindex: "0" });
    this.failure = h("details", { hidden: true, ontoggle: () => this.failure.open && this.showTraceback() },
      h("summary", { text: "Traceback of the last load" }), this.trace);
    this.buttons = {};
    const button = (text, act, kind) =>
      (this.buttons[text] = h("button", { type: "button", class: kind, text, disabled: true, onclick: () => act(this.model) }));
    this.panels = {
      Overview: this.overview(),
      ...(mayPredict && { Try: new TryView(this.wanted) }),
      Scaling: this.scaling(), Logs: new LogView(this.wanted), Drift: new DriftView(this.wanted),
    };
    this.element = h("div", {},
      h("p", {}, h("a", { href: "#/", text: "‹ All models" })),
      h("div", { class: "head" }, h("h1", { text: this.title }), this.state, h("span", { class: "spring" }),
        h("div", { class: "buttons", role: "group", "aria-label": "Change the model" },
          button("Scale…", scale), button("Make default…", setDefault), button("Drain…", drain), button("Unload…", unload))),
      this.facts, this.reasons, this.failure, this.tabs());
    this.choose("Overview");
  }

  tabs() {
    this.tabButtons = {};
    const names = Object.keys(this.panels);
    const bar = h("div", { class: "tabs", role: "tablist", "aria-label": "Parts of the model" }, names.map((name) =>
      (this.tabButtons[name] = h("button", {
        type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, text: name, onclick: () => this.choose(name),
      }))));
    bar.addEventListener("keydown", (event) => {
      const at = names.indexOf(this.chosen);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = names[(to + names.length) % names.length];
      this.choose(next);
      this.tabButtons[next].focus();
    });
    return [bar, names.map((name) => {
      const panel = this.panels[name];
      panel.place = h("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, tabindex: "0" }, panel.element);
      return panel.place;
    })];
  }

  choose(name) {
    if (this.chosen) this.panels[this.chosen].hide?.();
    this.chosen = name;
    for (const [each, button] of Object.entries(this.tabButtons)) {
      const isChosen = each === name;
      button.setAttribute("aria-selected", String(isChosen));
      button.tabIndex = isChosen ? 0 : -1;
      this.panels[each].place.hidden = !isChosen;
    }
    this.panels[name].show?.();
  }

  overview() {
    this.charts = {
      rate: new LineChart("Answers a second", [{ label: "all", kind: "first" }, { label: "errors", kind: "second" }], count),
      queue: new LineChart("Requests waiting / running", [{ label: "waiting", kind: "first" }, { label: "running", kind: "second" }], count),
      batch: new LineChart("Requests of a batch", [{ label: "mean", kind: "first" }], count),
      times: new BarChart("Time of an answer", "since the start of the server", seconds),
      waits: new BarChart("Time in the queue", "since the start of the server", seconds),
      sizes: new BarChart("Sizes of batches", "since the start of the server", count),
    };
    this.workers = new LiveTable("Workers", [
      ["Worker", ""], ["State", ""], ["Process", "number"], ["Memory", "number"], ["Restarts", "number"], ["GPU", "number"], ["Reason", "wide"],
    ], "No workers.");
    this.errors = new LiveTable("Recent errors of the model", [["Time", ""], ["Status", ""], ["Message", "wide"], ["Request", "code"]], "No errors so far.");
    return {
      element: [
        h("div", { class: "charts" }, Object.values(this.charts).map((chart) => chart.element)),
        h("section", { "aria-labelledby": "workers-title" }, h("h2", { id: "workers-title", text: "Workers" }), this.workers.element),
        h("section", { "aria-labelledby": "errors-title" }, h("h2", { id: "errors-title", text: "Recent errors" }), this.errors.element),
      ],
    };
  }

  scaling() {
    const facts = h("p");
    const decisions = new LiveTable("Decisions", [
      ["Time", ""], ["Decision", ""], ["Workers", "number"], ["Reason", "wide"], ["Requests/s", "number"], ["Queue", "number"],
    ], "No decisions so far.");
    let timer = 0;
    const look = async () => {
      try {
        const found = await call("GET", modelPath(this.model ?? this.wanted, "scaling"));
        facts.textContent = found.isScaledByLoad
          ? `Scaled by load between ${found.minWorkers} and ${found.maxWorkers} workers; ${found.wantedWorkers} would be enough now.`
          : `Not scaled by load. ${found.reason ?? ""}`;
        decisions.update(found.decisions.map((each) => ({
          key: each.time + each.decision + each.after,
          cells: [
            new Date(each.time).toLocaleTimeString(), each.decision, `${each.before} → ${each.after}`, each.reason,
            count(each.requestsPerSecond), `${count(each.queueDelay)} ms`,
          ],
        })));
      } catch (error) {
        facts.textContent = error.message;
      }
    };
    return {
      element: h("section", {}, h("h2", { text: "Scaling" }), facts, decisions.element),
      show: () => {
        look();
        timer = setInterval(look, SCALING_MS);
      },
      hide: () => clearInterval(timer),
    };
  }

  async showTraceback() {
    try {
      const found = await call("GET", modelPath(this.model ?? this.wanted));
      this.trace.textContent = found.loadTraceback || found.loadError || "The last load has succeeded.";
    } catch (error) {
      this.trace.textContent = error.message;
    }
  }

  close() {
    this.panels[this.chosen].hide?.();
  }

  update(snapshot, history) {
    const { name, version } = this.wanted;
    const model = snapshot.models.find((each) => each.name === name && (version === null ? each.isDefault : each.version === version));
    this.model = model;
    for (const [text, button] of Object.entries(this.buttons)) {
      const hasFocus = document.activeElement === button;
      button.disabled = !model
        || (text === "Make default…" && (model.isDefault || model.version === null))
        || (["Scale…", "Drain…"].includes(text) && !model.hasWorkers);
      // It would be nowhere, and the next key would begin at the top of the page.
      if (hasFocus && button.disabled) this.element.closest("main")?.focus();
    }
    if (!model && performance.now() - this.openedAt < LOOKS_MS) {
      // Who comes from its registration is ahead of the server's looks, one a second.
      this.state.textContent = "…";
      this.facts.textContent = "Waiting for the server's next look at its models.";
      return;
    }
    if (!model) {
      this.state.textContent = "not there";
      this.state.className = pillOf("");
      this.facts.textContent = snapshot.totals.models > snapshot.models.length
        ? "It is not among the models that are shown, or not registered." : "It is not registered.";
      return;
    }
    this.state.textContent = model.state;
    this.state.className = pillOf(model.state);
    this.facts.textContent = [
      model.isDefault ? "default version" : "not the default version", `${model.kind}, interface ${model.interface}`,
      model.hasWorkers && workersOf(model),
      model.hasWorkers && `batches of at most ${model.batchSize}, ${model.batchPolicy}${model.batchPolicyReason ? ` (${model.batchPolicyReason})` : ""}`,
      model.owner && `part of ${model.owner}`, model.lost > 0 && `${model.lost} ${model.lost === 1 ? "request" : "requests"} without the model's answer`,
    ].filter(Boolean).join(" · ");
    this.failure.hidden = model.state !== "failing";
    const said = JSON.stringify(model.reasons);
    if (said !== this.said) {
      this.said = said;
      put(this.reasons, model.reasons.map((text) => h("li", { class: model.state === "failing" ? "bad-text" : "", text })));
    }
    if (this.chosen !== "Overview") return;
    const track = history.of(model);
    const { timeBounds, sizeBounds } = snapshot;
    const p = (times, part) => seconds(quantile(timeBounds, times, part));
    this.charts.rate.update([track.rates("answers"), track.rates("errors")]);
    this.charts.queue.update([track.values("waiting"), track.values("inFlight")]);
    this.charts.batch.update([track.batchSizes()]);
    const { times } = model.answers;
    this.charts.times.update(timeBounds, times, `p50 ${p(times, 0.5)}, p99 ${p(times, 0.99)}`);
    const { queueTimes, sizes } = model.batches;
    this.charts.waits.update(timeBounds, queueTimes, `p50 ${p(queueTimes, 0.5)}, p99 ${p(queueTimes, 0.99)}`);
    this.charts.sizes.update(sizeBounds, sizes);
    this.workers.update(model.workers.map((worker) => ({
      key: worker.name,
      cells: [
        worker.name, { text: worker.state, class: pillOf(worker.state) }, worker.pid ? String(worker.pid) : "–", bytes(worker.memory),
        count(worker.restarts), worker.gpu === null ? "–" : String(worker.gpu), worker.reason,
      ],
    })));
    this.errors.update(snapshot.errors.filter((error) => error.model === model.name && (error.version || null) === model.version).map((error) => ({
      key: JSON.stringify([error.time, error.requestId]),
      cells: [
        clock(error.time), { text: String(error.status), class: error.status >= 500 ? "pill bad" : "pill warn" },
        error.message || "(the model's own answer)", error.requestId,
      ],
    })));
  }
}

