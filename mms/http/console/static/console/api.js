// Calls of the server. The token of the session goes with each, so that no other page can have them made.

let token = "";
let ended = () => {};

// What is done where a call finds that the session it had is over: its time or its key has ended.
export function whenSessionEnds(act) {
  ended = act;
}

// A model may answer 401, too, so that the server says whether there is a session.
async function lookForEnd(answer) {
  if (answer.status !== 401 || !token) return;
  const found = await session();
  if (!found.token) ended();
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function headersOf(more) {
  return token ? { "X-CSRF-Token": token, ...more } : { ...more };
}

async function problemOf(answer) {
  const text = await answer.text();
  try {
    const { message, reason } = JSON.parse(text);
    return [message, reason].filter(Boolean).join(" ") || `${answer.status} ${answer.statusText}`;
  } catch {
    return text.slice(0, 300) || `${answer.status} ${answer.statusText}`;
  }
}

export async function call(method, path, { body, headers } = {}) {
  const answer = await fetch(path, { method, body, headers: headersOf(headers), redirect: "error" });
  await lookForEnd(answer);
  if (!answer.ok) throw new Refused(answer.status, await problemOf(answer));
  return answer.json();
}

// The answer of a model, whatever its status.
export async function predict(path, body, headers, signal) {
  const answer = await fetch(path, { method: "POST", body, headers: headersOf(headers), signal, redirect: "manual" });
  await lookForEnd(answer);
  return answer;
}

export async function session() {
  const found = await call("GET", "/console/session");
  token = found.token ?? "";
  return found;
}

export async function login(key) {
  const found = await call("POST", "/console/login", {
    body: JSON.stringify({ key }), headers: { "Content-Type": "application/json" },
  });
  token = found.token;
}

export async function logout() {
  await call("POST", "/console/logout");
  token = "";
}

const part = encodeURIComponent;

export function modelPath(model, ...rest) {
  const parts = [model.name, ...(model.version === null ? [] : [model.version]), ...rest];
  return "/console/api/models/" + parts.map(part).join("/");
}

export function predictPath(name, version) {
  return "/console/api/predictions/" + [name, ...(version ? [version] : [])].map(part).join("/");
}
