// What the states of models and workers look like; the word is always there beside the colour.

const KINDS = {
  ready: "good", "on demand": "idle", "no workers": "idle", loading: "warn", failing: "bad",
  READY: "good", BUSY: "good", STARTING: "warn", LOADING: "warn", DRAINING: "warn", BACKOFF: "bad", FAILED: "bad", STOPPED: "idle",
  "no drift": "good", "possible drift": "warn", "drift detected": "bad",
  Healthy: "good", "Partial Healthy": "warn", Unhealthy: "bad",
};

export const pillOf = (word) => `pill ${KINDS[word] ?? "idle"}`;
export const nameOf = (model) => (model.version === null ? model.name : `${model.name} ${model.version}`);
export const hrefOf = (model) =>
  `#/models/${encodeURIComponent(model.name)}${model.version === null ? "" : `/${encodeURIComponent(model.version)}`}`;
