// What changes models. Each asks first.

import { call, modelPath } from "./api.js";
import { ask, field, h, toast } from "./dom.js";
import { nameOf } from "./states.js";

export async function loadModel() {
  let found = { archives: [] };
  try {
    found = await call("GET", "/console/store");
  } catch (error) {
    toast(`The model store could not be read: ${error.message}`, true);
  }
  const list = h("datalist", { id: "archives" }, found.archives.map((archive) =>
    h("option", { value: archive.url }, archive.problem ?? [archive.modelName, archive.modelVersion].filter(Boolean).join(" "))));
  const url = h("input", { required: true, list: "archives", autocomplete: "off", spellcheck: "false" });
  const name = h("input", { autocomplete: "off", placeholder: "the archive's own" });
  const workers = h("input", { type: "number", min: "0", max: "1000", value: "1", required: true });
  const batch = h("input", { type: "number", min: "1", placeholder: "the archive's own, else 1" });
  await ask({
    title: "Load a model",
    text: "Its code runs on this machine once it is loaded.",
    button: "Load",
    fields: [
      field("Archive", url, "A file or folder of the model store, or a url."), list,
      field("Name", name), field("Workers", workers), field("Batch size", batch),
    ],
    act: async () => {
      const query = new URLSearchParams({ url: url.value.trim(), initial_workers: workers.value, synchronous: "false" });
      if (name.value.trim()) query.set("model_name", name.value.trim());
      if (batch.value) query.set("batch_size", batch.value);
      return (await call("POST", `/console/api/models?${query}`)).status;
    },
  });
}

export async function scale(model) {
  const least = h("input", { type: "number", min: "0", max: "1000", value: String(model.minWorkers), required: true });
  const most = h("input", { type: "number", min: "0", max: "1000", value: String(model.maxWorkers), required: true });
  await ask({
    title: `Scale ${nameOf(model)}`,
    text: "Workers that go finish what they have. Between the two numbers the load decides, where the model is scaled by load.",
    button: "Scale",
    fields: [field("Least workers", least), field("Most workers", most)],
    act: async () => {
      const query = new URLSearchParams({ min_worker: least.value, max_worker: most.value, synchronous: "false" });
      return (await call("PUT", `${modelPath(model)}?${query}`)).status;
    },
  });
}

export async function drain(model) {
  await ask({
    title: `Drain ${nameOf(model)}?`,
    text: "Its workers finish what they run, and end. The model stays, and answers 503 until it is scaled up again.",
    button: "Drain",
    isDangerous: true,
    act: async () => {
      await call("PUT", `${modelPath(model)}?min_worker=0&max_worker=0&synchronous=false`);
      return `${nameOf(model)} drains.`;
    },
  });
}

export async function setDefault(model) {
  await ask({
    title: `Make ${nameOf(model)} the default?`,
    text: "Requests that name no version go to it from then on.",
    button: "Make it the default",
    act: async () => (await call("PUT", modelPath(model, "set-default"))).status,
  });
}

export async function unload(model) {
  let isDone = false;
  await ask({
    title: `Unload ${nameOf(model)}?`,
    text: "It takes no more requests, answers those that it has, and is gone. Its archive stays in the model store.",
    button: "Unload",
    isDangerous: true,
    act: async () => {
      const { status } = await call("DELETE", modelPath(model));
      isDone = true;
      return status;
    },
  });
  if (isDone) location.hash = "#/";
}
