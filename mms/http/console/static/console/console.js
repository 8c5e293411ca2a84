// The console: who looks, what is shown, and the live snapshots that it is made of.

import { login, logout, session, whenSessionEnds } from "./api.js";
import { field, h, put, toast } from "./dom.js";
import { History } from "./history.js";
import { ModelView } from "./model.js";
import { Overview } from "./overview.js";
import { nameOf, pillOf } from "./states.js";
import { TryView } from "./try.js";

const main = document.getElementById("main");
const health = document.getElementById("health");
const link = document.getElementById("link");
const history = new History();
let may = { manage: false, predict: false };
let view = null;
let source = null;
let last = null;

function showView(next) {
  // What was asked was about what is no longer shown.
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  view?.close?.();
  view = next;
  document.title = `${next.title} – model server`;
  put(main, next.element);
  if (last) next.update?.(last, history);
}

function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").map((text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  });
  const [name, version] = parts[0] === "models" ? [parts[1], parts[2]] : [];
  if (may.manage) {
    showView(name ? new ModelView(name, version ?? null, may.predict) : new Overview());
  } else {
    showView(may.predict ? tryOnly(name, version) : metricsOnly());
  }
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

// For a key that may read metrics alone.
function metricsOnly() {
  return {
    title: "Nothing to show",
    element: h("div", {}, h("h1", { text: "Nothing to show" }),
      h("p", { text: "This key may neither manage models nor ask them. Log out, and log in with another one." }),
      h("p", { text: "It is for programs that read /metrics, such as Prometheus." })),
  };
}

// For a key that may ask models and manage nothing. A model may be named by the address.
function tryOnly(named = "", ofVersion = "") {
  const name = h("input", { required: true, autocomplete: "off", value: named });
  const version = h("input", { autocomplete: "off", placeholder: "the default", value: ofVersion });
  const place = h("div");
  return {
    title: "Try a model",
    element: h("div", {}, h("h1", { text: "Try a model" }),
      h("p", { text: "This key may not manage models, so none are listed." }),
      h("form", { class: "card", onsubmit: (event) => {
        event.preventDefault();
        const model = { name: name.value.trim(), version: version.value.trim() || null };
        put(place, h("h2", { text: nameOf(model) }), new TryView(model).element);
      } }, field("Model", name), field("Version", version), h("button", { class: "primary", text: "Choose" })), place),
  };
}

function look() {
  source = new EventSource("/console/events");
  source.addEventListener("open", () => { link.textContent = ""; });
  source.addEventListener("message", (event) => {
    last = JSON.parse(event.data);
    history.add(last);
    health.textContent = last.server.health;
    health.className = pillOf(last.server.health);
    view?.update?.(last, history);
  });
  source.addEventListener("error", () => {
    link.textContent = "Not connected; trying again…";
    if (source.readyState === EventSource.CLOSED) setTimeout(again, 3000);
  });
}

// The stream was refused: the session may have ended, or too many look.
async function again() {
  try {
    const found = await session();
    if (found.hasKeys && !found.roles.includes("management")) startAnew();
    else look();
  } catch {
    setTimeout(again, 3000);
  }
}

function askForKey(problem = "") {
  const key = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true });
  const said = h("p", { role: "alert", class: "bad-text", text: problem });
  const form = h("form", { class: "card login" }, h("h1", { text: "Log in" }),
    h("p", { text: "This server asks for a key. It is exchanged for a session of eight hours and is not kept in this browser." }),
    !isSecureContext && h("p", { class: "warn-text", text: "This connection is not encrypted: everybody on the way can read the key. Use https." }),
    h("input", { class: "hidden", autocomplete: "username", value: "mms", tabindex: "-1", "aria-hidden": "true", type: "text" }),
    field("Key", key), said, h("button", { class: "primary", text: "Log in" }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said.textContent = "";
    try {
      await login(key.value.trim());
      key.value = "";
      await start();
    } catch (error) {
      said.textContent = error.message;
      key.focus();
    }
  });
  showView({ title: "Log in", element: form });
  key.focus();
}

// The session is over. Who logs in comes back to where it was.
function startAnew() {
  start("The session has ended. Log in to go on.");
}

async function start(problem = "") {
  source?.close();
  let found;
  try {
    found = await session();
  } catch (error) {
    put(main, h("p", { role: "alert", text: `The console cannot reach its server: ${error.message}` }));
    setTimeout(() => start(problem), 3000);
    return;
  }
  document.getElementById("who").textContent = found.key ? `Key ${found.key}` : "";
  document.getElementById("logout").hidden = !found.token;
  if (found.hasKeys && !found.key && !found.roles.includes("management")) {
    removeEventListener("hashchange", route);
    last = null;
    health.textContent = link.textContent = "";
    askForKey(problem);
    return;
  }
  may = { manage: found.roles.includes("management"), predict: found.roles.includes("inference") };
  addEventListener("hashchange", route);
  route();
  if (may.manage) look();
}

document.getElementById("logout").addEventListener("click", async () => {
  try {
    await logout();
  } catch (error) {
    toast(error.message, true);
  }
  start();
});

// By itself it would go to another address, and so to another view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

whenSessionEnds(startAnew);

start();
