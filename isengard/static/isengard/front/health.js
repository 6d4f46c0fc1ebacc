/* Whether it is healthy, in words, asked again now and then while the page is looked at. */

import { call } from "./api.js";
import { one, say } from "./page.js";

const AGAIN_MILLISECONDS = 15000;

function tell(id, text, state) {
  const place = one(`#${id}`);
  say(place, text);
  place.dataset.state = state;
}

async function askReady() {
  try {
    await call("GET", "/ready");
    tell("health-service", "ready", "good");
  } catch (error) {
    tell("health-service", error.message, error.status === 503 ? "poor" : "bad");
  }
}

async function askInfo(onInfo) {
  try {
    const info = await call("GET", "/info");
    const images = Object.values(info.image_generation.models).filter(({ available }) => available);
    // No light: whether a trainer is there to take a job, the public API does not tell.
    tell("health-training", `${Object.keys(info.training.base_models).length} base models`, "offer");
    tell("health-images", images.length ? `${images.length} models ready` : "no model is ready", images.length ? "good" : "poor");
    onInfo(info);
  } catch {
    tell("health-training", "unknown", "unknown");
    tell("health-images", "unknown", "unknown");
  }
}

export function watchHealth(onInfo) {
  let isFirst = true;
  const ask = () => {
    if (document.hidden) return;
    askReady();
    askInfo(isFirst ? onInfo : () => {});
    isFirst = false;
  };
  ask();
  setInterval(ask, AGAIN_MILLISECONDS);
  document.addEventListener("visibilitychange", ask);
}
