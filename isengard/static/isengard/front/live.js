/* A running job, as its stream tells it. */

import { call, follow } from "./api.js";
import { drawCurve } from "./curve.js";
import { duration } from "../in_words.js";
import { element, fill, one, say, thumbnail } from "./page.js";

const CURVE_AGAIN_MILLISECONDS = 2000;
const kindOf = (job) => (job.startsWith("train-") ? "training" : "generation");

function figuresOf(data) {
  const known = [
    ["Speed", data.iteration_speed, (value) => `${value.toFixed(2)} steps/s`],
    ["Remaining", data.eta_seconds, duration],
    ["Loss", data.loss, (value) => value.toFixed(4)],
    ["GPU", data.gpu, ({ utilization, temperature }) => `${utilization} %, ${temperature} °C`],
  ];
  return known.filter(([, value]) => value !== undefined).map(([term, value, word]) => [term, word(value)]);
}

function lost(isLost) {
  const place = one("#lost");
  place.hidden = !isLost;
  say(place, isLost ? "The line to the server is down; trying again. Your job goes on without this page." : "");
}

function follows(job, box, onProgress, onEnd) {
  const said = one(".said", box);
  const cancel = one(".cancel", box);
  box.hidden = false;
  cancel.hidden = false;
  const show = (data) => {
    one("progress", box).value = data.progress;
    say(said, data.message, data.status === "failed" ? "error" : "");
    fill(one(".figures", box), figuresOf(data));
    onProgress(data);
  };
  cancel.onclick = () => call("POST", `/api/${kindOf(job)}/${job}/cancel`).catch((error) => say(said, error.message, "error"));
  return follow(job, {
    lost,
    progress: show,
    preview: (data) => onProgress({ preview: data }),
    complete: (data) => {
      cancel.hidden = true;
      show(data);
      onEnd(data);
    },
  });
}

/** Returns what stops it. */
export function followTraining(job, onEnd) {
  const box = one("#training-live");
  const figure = one(".curve", box);
  const samples = one(".thumbnails", box);
  samples.replaceChildren();
  figure.hidden = true;
  const names = new Set();
  const look = async () => {
    const [curve, { artifacts }] = await Promise.all([
      call("GET", `/api/training/${job}/loss?points=300`), call("GET", `/api/jobs/${job}/artifacts`),
    ]);
    drawCurve(figure, curve.points);
    artifacts.filter(({ type, name }) => type === "sample" && !names.has(name)).forEach(({ name, url }) => {
      names.add(name);
      samples.append(thumbnail(url, name, url));
    });
  };
  // What is missed now comes with the next look.
  const glance = () => look().catch(() => {});
  const timer = setInterval(() => document.hidden || glance(), CURVE_AGAIN_MILLISECONDS);
  const source = follows(job, box, () => {}, async (data) => {
    clearInterval(timer);
    await glance();
    onEnd(data);
  });
  glance();
  return () => {
    clearInterval(timer);
    source.close();
  };
}

/** Returns what stops it. */
export function followImages(job, onEnd) {
  const box = one("#image-live");
  const pictures = one(".pictures", box);
  const preview = element("li", { class: "preview" }, element("img", { alt: "Preview of the image being made" }));
  const names = new Set();
  pictures.replaceChildren();
  const look = async () => {
    const { output_paths: made, seeds } = await call("GET", `/api/generation/${job}`);
    made.forEach((name, index) => {
      if (names.has(name)) return;
      names.add(name);
      const item = thumbnail(`/api/outputs/${name}`, name, `/api/outputs/${name}?size=512`);
      item.append(element("p", { class: "quiet" }, `seed ${seeds[index]}`));
      pictures.insertBefore(item, preview.isConnected ? preview : null);
    });
  };
  const heard = (data) => {
    if (data.preview) {
      one("img", preview).src = data.preview.image;
      pictures.append(preview);
    } else if (data.artifacts) look().catch(() => {});
  };
  const source = follows(job, box, heard, async (data) => {
    preview.remove();
    await look().catch(() => {});
    onEnd(data);
  });
  look().catch(() => {});
  return () => source.close();
}
