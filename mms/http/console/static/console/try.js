// Sends a request to a model and shows what it answers, as data: a picture, a table, JSON or text, and never a page.

import { predict, predictPath } from "./api.js";
import { field, h, put, table } from "./dom.js";
import { bytes, seconds } from "./numbers.js";

const MOST_SHOWN = 200_000;
const MOST_ROWS = 200;
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"];
const KINDS = {
  json: "JSON", text: "Text", file: "File or image",
};

export class TryView {
  constructor(model) {
    this.model = model;
    this.urls = [];
    this.body = h("textarea", { spellcheck: "false", class: "code" });
    this.body.value = '{"data": [[1, 2, 3]]}';
    this.body.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.send.disabled) this.body.form.requestSubmit();
    });
    this.file = h("input", { type: "file" });
    this.type = h("input", { autocomplete: "off", spellcheck: "false" });
    this.bodyField = field("Body", this.body);
    this.fileField = field("File", this.file);
    this.fileField.hidden = true;
    this.result = h("div", { class: "result", role: "region", "aria-label": "Answer", "aria-live": "polite" });
    this.send = h("button", { class: "primary", text: "Send" });
    this.stop = h("button", { type: "button", text: "Stop", hidden: true, onclick: () => this.controller?.abort() });
    const choices = h("fieldset", {}, h("legend", { text: "Send" }), h("div", { class: "choices" },
      Object.entries(KINDS).map(([kind, text]) => h("label", {},
        h("input", { type: "radio", name: "kind", value: kind, checked: kind === "json", onchange: () => this.choose(kind) }), ` ${text}`))));
    const form = h("form", { onsubmit: (event) => {
      event.preventDefault();
      this.run();
    } }, choices, this.bodyField, this.fileField,
      field("Content-Type", this.type, "Empty: what the choice above means."),
      h("div", { class: "buttons" }, this.send, this.stop));
    this.element = h("section", { "aria-labelledby": "try-title" }, h("h2", { id: "try-title", text: "Try the model" }), form, this.result);
    this.choose("json");
  }

  choose(kind) {
    this.kind = kind;
    this.bodyField.hidden = kind === "file";
    this.fileField.hidden = kind !== "file";
    this.type.placeholder = { json: "application/json", text: "text/plain", file: "the file's own" }[kind];
  }

  async run() {
    const chosen = this.file.files[0];
    const body = this.kind === "file" ? chosen : this.body.value;
    if (this.kind === "file" && !chosen) {
      this.fail("Choose a file first.");
      return;
    }
    if (this.kind === "json") {
      try {
        JSON.parse(body);
      } catch (error) {
        this.fail(`The body is not JSON: ${error.message}. Choose Text to send it as it is.`);
        return;
      }
    }
    const usual = { json: "application/json", text: "text/plain; charset=utf-8", file: chosen?.type || "application/octet-stream" };
    this.send.disabled = true;
    this.stop.hidden = false;
    this.controller = new AbortController();
    const began = performance.now();
    try {
      const answer = await predict(predictPath(this.model.name, this.model.version), body,
        { "Content-Type": this.type.value.trim() || usual[this.kind] }, this.controller.signal);
      const content = await answer.blob();
      await this.display(answer, content, (performance.now() - began) / 1000);
    } catch (error) {
      this.fail(error.name === "AbortError" ? "Stopped." : `The request failed: ${error.message}`);
    } finally {
      this.send.disabled = false;
      this.stop.hidden = true;
    }
  }

  fail(text) {
    put(this.result, h("p", { class: "bad-text", text }));
  }

  async display(answer, content, took) {
    for (const url of this.urls.splice(0)) URL.revokeObjectURL(url);
    const type = (answer.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();
    const head = h("p", {},
      h("span", { class: answer.status < 400 ? "pill good" : "pill bad", text: String(answer.status) }),
      ` ${type || "no type"}, ${bytes(content.size) === "–" ? "empty" : bytes(content.size)}, ${seconds(took)}, request `,
      h("code", { text: answer.headers.get("x-request-id") ?? "–" }));
    put(this.result, head, await this.shown(type, content), this.download(type, content));
  }

  async shown(type, content) {
    if (PICTURES.includes(type)) {
      return h("img", { src: this.url(content.slice(0, content.size, type)), alt: "The model's answer" });
    }
    const isText = type.startsWith("text/") || type.includes("json") || type.includes("xml") || type === "";
    if (!isText) return h("p", { class: "quiet", text: "This is neither text nor a picture." });
    const text = await content.slice(0, MOST_SHOWN * 4).text();
    try {
      const value = JSON.parse(text);
      const rows = rowsOf(value);
      return h("div", {}, rows && asTable(rows), h("pre", { tabindex: "0", text: cut(JSON.stringify(value, null, 2)) }));
    } catch {
      return h("pre", { tabindex: "0", text: cut(text) });
    }
  }

  // By another type, so that a browser opens nothing of it as a page.
  download(type, content) {
    const isPicture = PICTURES.includes(type);
    const saved = content.slice(0, content.size, isPicture ? type : "application/octet-stream");
    return content.size ? h("p", {}, h("a", { href: this.url(saved), download: isPicture ? `answer.${type.slice(6)}` : "answer", text: "Save the answer" })) : null;
  }

  url(content) {
    const url = URL.createObjectURL(content);
    this.urls.push(url);
    return url;
  }

  hide() {
    this.controller?.abort();
  }
}

const cut = (text) => (text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}\n… cut` : text);
const isPlain = (value) => value === null || typeof value !== "object";
const isRow = (value) => !isPlain(value) && !Array.isArray(value) && Object.values(value).every(isPlain);

// The rows of a table where a value is one: a list of objects, a list of lists, or an object of plain values.
function rowsOf(value) {
  if (Array.isArray(value) && value.length && value.every(isRow)) {
    const names = [...new Set(value.slice(0, MOST_ROWS).flatMap(Object.keys))].slice(0, 50);
    return { heads: names, rows: value.map((row) => names.map((name) => row[name])) };
  }
  if (Array.isArray(value) && value.length && value.every((row) => Array.isArray(row) && row.length && row.every(isPlain))) {
    const width = Math.min(50, Math.max(...value.slice(0, MOST_ROWS).map((row) => row.length)));
    return { heads: Array.from({ length: width }, (_, index) => String(index)), rows: value };
  }
  if (isRow(value) && !Array.isArray(value) && Object.keys(value ?? {}).length > 1) {
    return { heads: ["name", "value"], rows: Object.entries(value) };
  }
  for (const name of ["data", "predictions", "outputs", "ndarray", "instances"]) {
    const inner = !isPlain(value) && !Array.isArray(value) ? value[name] : undefined;
    if (inner !== undefined) return rowsOf(inner);
  }
  return null;
}

function asTable({ heads, rows }) {
  const text = (value) => (value === undefined ? "" : value === null ? "null" : String(value));
  return table("The answer as a table", heads, rows.slice(0, MOST_ROWS).map((row) => heads.map((_, index) => text(row[index]))));
}
