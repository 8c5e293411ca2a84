// Elements. Texts are always text: nothing here makes HTML of a string.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

export const h = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

// Puts children in place of others; what has the focus keeps it, by its id.
export function put(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.replaceChildren(...children.flat(Infinity).filter((child) => child instanceof Node));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// A table of rows of cells. Cells are texts or nodes; the first of a row is its header.
export function table(caption, heads, rows, { empty = "None." } = {}) {
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h("table", { "aria-label": caption },
      h("thead", {}, h("tr", {}, heads.map((head) => {
        const [text, kind] = Array.isArray(head) ? head : [head, ""];
        return h("th", { scope: "col", class: kind, text });
      }))),
      h("tbody", {}, rows.length ? rows.map((cells) => h("tr", {}, cells.map((cell, index) => {
        const kind = Array.isArray(heads[index]) ? heads[index][1] : "";
        return index === 0
          ? h("th", { scope: "row", class: kind }, cell)
          : h("td", { class: kind }, cell);
      }))) : h("tr", {}, h("td", { colspan: heads.length, class: "quiet", text: empty })))));
}

export function toast(text, isBad = false) {
  const place = document.getElementById("toast");
  const shown = h("div", { class: isBad ? "toast bad" : "toast" },
    h("span", { text }),
    h("button", { type: "button", class: "plain", "aria-label": "Dismiss", text: "×", onclick: () => shown.remove() }));
  put(place, shown);
  if (!isBad) setTimeout(() => shown.remove(), 8000);
}

let dialogs = 0;

// Asks in a dialog. `fields`: nodes; `act`: does it and returns what to say. Resolves once the dialog is closed.
export function ask({ title, text, fields = [], button, isDangerous = false, act }) {
  return new Promise((resolve) => {
    const id = `dialog-${++dialogs}`;
    const problem = h("p", { role: "alert", class: "bad-text" });
    const go = h("button", { class: isDangerous ? "danger" : "primary", text: button });
    const form = h("form", { method: "dialog" },
      h("h2", { id, text: title }),
      text && h("p", { text }),
      fields, problem,
      h("div", { class: "actions" },
        h("button", { type: "button", text: "Cancel", onclick: () => dialog.close() }), go));
    const dialog = h("dialog", { "aria-labelledby": id }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      problem.textContent = "";
      try {
        toast(await act());
        dialog.close();
      } catch (error) {
        problem.textContent = error.message;
      } finally {
        go.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

let labels = 0;

export function field(label, input, hint) {
  const id = input.id || `field-${++labels}`;
  input.id = id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" },
    h("label", { for: id, text: label }), input,
    hint && h("small", { id: `${id}-hint`, class: "quiet", text: hint }));
}

// A table that is brought up to date in place: rows by their keys, and a cell only where its text differs.
export class LiveTable {
  constructor(caption, heads, empty) {
    this.heads = heads;
    this.rows = new Map();
    this.body = h("tbody");
    this.empty = h("tr", {}, h("td", { colspan: heads.length, class: "quiet", text: empty }));
    this.element = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
      h("table", { "aria-label": caption },
        h("thead", {}, h("tr", {}, heads.map(([text, kind]) => h("th", { scope: "col", class: kind, text })))),
        this.body));
  }

  // `rows`: of {key, cells}; a cell is a text, or {text, class, href, title}.
  update(rows) {
    const wanted = new Set(rows.map((row) => row.key));
    for (const [key, row] of this.rows) {
      if (!wanted.has(key)) {
        row.element.remove();
        this.rows.delete(key);
      }
    }
    rows.forEach(({ key, cells }, index) => {
      let row = this.rows.get(key);
      if (!row) {
        row = { shown: [], element: h("tr") };
        row.cells = this.heads.map(([, kind], column) =>
          column === 0 ? h("th", { scope: "row", class: kind }) : h("td", { class: kind }));
        row.element.append(...row.cells);
        this.rows.set(key, row);
      }
      cells.forEach((cell, column) => {
        const { text, class: kind, href, title } = typeof cell === "object" && cell !== null ? cell : { text: cell };
        const said = JSON.stringify([text, kind, href, title]);
        if (row.shown[column] === said) return;
        row.shown[column] = said;
        row.cells[column].replaceChildren(
          href ? h("a", { href, title, class: kind, text }) : h("span", { title, class: kind, text }));
      });
      if (this.body.children[index] !== row.element) this.body.insertBefore(row.element, this.body.children[index] ?? null);
    });
    if (rows.length) this.empty.remove();
    else this.body.append(this.empty);
  }
}
