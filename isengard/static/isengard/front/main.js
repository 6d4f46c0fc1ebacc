/* The story in one page: a character, its photos, a training, images. Where one is, is kept in the address. */

import { call, nameOfRequest } from "./api.js";
import { watchHealth } from "./health.js";
import { followImages, followTraining } from "./live.js";
import { busy, element, one, say } from "./page.js";
import { showPhotos, takePhotos } from "./photos.js";

const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const forms = { character: one("#character-form"), training: one("#training-form"), images: one("#image-form") };
let stop = { training: () => {}, images: () => {} };

function remember(changes) {
  Object.assign(state, changes);
  const kept = Object.entries(state).filter(([, value]) => value);
  history.replaceState(null, "", kept.length ? `#${new URLSearchParams(kept)}` : location.pathname);
  one("#again").hidden = kept.length === 0;
}

function open(step) {
  const place = one(`#step-${step}`);
  const wasClosed = "closed" in place.dataset;
  delete place.dataset.closed;
  place.inert = false;
  return wasClosed;
}

function close(step) {
  const place = one(`#step-${step}`);
  place.dataset.closed = "";
  place.inert = true;
}

const outside = (step) => one(`#step-${step} > .said`);
const waitingFor = (place) => (seconds) => say(place, `The server is busy: trying again in ${seconds} s.`);

function choices(select, options) {
  select.replaceChildren(...options.map(([value, text, isPossible]) => {
    const option = element("option", { value }, text);
    option.disabled = !isPossible;
    return option;
  }));
}

function offer(info) {
  const { presets, base_models: models } = info.training;
  choices(forms.training.preset_name, Object.entries(presets).map(([name, { steps }]) => [name, `${name}, ${steps} steps`, true]));
  choices(forms.training.base_model, Object.entries(models).map(([name, { title }]) => [name, title, true]));
}

// --- the four steps ---

async function showCharacter(id) {
  const character = await call("GET", `/api/characters/${id}`);
  Object.assign(forms.character.name, { value: character.name, disabled: true });
  Object.assign(forms.character.trigger_word, { value: character.trigger_word, disabled: true });
  one("button", forms.character).hidden = true;
  say(outside("character"), "Created.", "good");
  if (!forms.images.prompt.value) forms.images.prompt.value = `a photo of ${character.trigger_word} in a garden, soft light`;
  open("photos");
  await showPhotos(id, counted);
  if (character.lora_path) open("images");
}

function counted(count) {
  if (count) open("training");
  else if (!state.training) close("training");
}

function watchTraining(job) {
  open("training");
  stop.training();
  one("button", forms.training).textContent = "Train again";
  stop.training = followTraining(job, ({ status }) => {
    if (status === "completed") open("images");
  });
}

function watchImages(job) {
  open("images");
  stop.images();
  stop.images = followImages(job, () => {});
}

forms.character.addEventListener("submit", (event) => {
  event.preventDefault();
  const json = Object.fromEntries(new FormData(forms.character));
  busy(forms.character, outside("character"), async () => {
    const { id } = await call("POST", "/api/characters", { json, onWait: waitingFor(outside("character")) });
    remember({ character: id });
    await showCharacter(id);
    // The button that was pressed is gone: photos are what comes next.
    one("#photo-input").focus({ preventScroll: true });
  });
});

forms.training.addEventListener("submit", (event) => {
  event.preventDefault();
  const json = { character_id: state.character, ...Object.fromEntries(new FormData(forms.training)) };
  busy(forms.training, outside("training"), async () => {
    const asked = { json, headers: nameOfRequest(), onWait: waitingFor(outside("training")) };
    const { id } = await call("POST", "/api/training", asked);
    say(outside("training"), "");
    remember({ training: id });
    watchTraining(id);
  });
});

forms.images.addEventListener("submit", (event) => {
  event.preventDefault();
  const { prompt, count, seed } = Object.fromEntries(new FormData(forms.images));
  const config = { prompt, seed: seed === "" ? null : Number(seed), lora_id: state.character };
  busy(forms.images, outside("images"), async () => {
    const asked = { json: { config, count: Number(count) }, headers: nameOfRequest(), onWait: waitingFor(outside("images")) };
    const { id } = await call("POST", "/api/generation", asked);
    say(outside("images"), "");
    remember({ images: id });
    watchImages(id);
  });
});

one("#again").addEventListener("click", () => {
  history.replaceState(null, "", location.pathname);
  location.reload();
});

/** Where the page was left, or where a link leads. What is gone since is simply not taken up. */
async function resume() {
  if (!state.character) return;
  try {
    await showCharacter(state.character);
    if (state.training) watchTraining(state.training);
    if (state.images) watchImages(state.images);
  } catch (error) {
    say(outside("character"), error.message, "error");
    if (error.status === 404) remember({ character: "", training: "", images: "" });
  }
}

["photos", "training", "images"].forEach(close);
takePhotos(() => state.character, counted);
watchHealth(offer);
remember({});
resume();
