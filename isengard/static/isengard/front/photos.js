/* The photos of the character: chosen, dropped, or drawn where nobody has any. */

import { call } from "./api.js";
import { element, one, say, thumbnail } from "./page.js";

// A request may hold many; a few at a time show progress and stay below the body limit.
const PER_REQUEST = 4;
const DRAWN = 6;

const addressOf = (character, name) => `/api/characters/${character}/images/${encodeURIComponent(name)}`;

function shown(character, name, onChange) {
  const item = thumbnail(addressOf(character, name), name);
  const remove = element("button", { type: "button", class: "remove", "aria-label": `Remove ${name}`, title: "Remove" }, "×");
  remove.addEventListener("click", async () => {
    remove.disabled = true;
    await call("DELETE", addressOf(character, name)).catch((error) => say(one("#step-photos .said"), error.message, "error"));
    onChange();
  });
  item.append(remove);
  return item;
}

export async function showPhotos(character, onCount) {
  const { images } = await call("GET", `/api/characters/${character}/images`);
  one("#photos").replaceChildren(...images.map((name) => shown(character, name, () => showPhotos(character, onCount))));
  onCount(images.length);
}

async function send(character, files, place) {
  const refused = [];
  for (let start = 0; start < files.length; start += PER_REQUEST) {
    say(place, `Uploading ${start + 1} of ${files.length} …`);
    const form = new FormData();
    files.slice(start, start + PER_REQUEST).forEach((file) => form.append("files", file, file.name));
    const onWait = (seconds) => say(place, `Too fast for the server: going on in ${seconds} s.`);
    const { rejected } = await call("POST", `/api/characters/${character}/images`, { form, onWait });
    refused.push(...rejected.map(({ filename, reason }) => `${filename}: ${reason}`));
  }
  say(place, refused.length ? `Not taken: ${refused.join("; ")}` : "", refused.length ? "error" : "");
}

/** A face of simple shapes, another one for each number. */
async function drawn(number) {
  const canvas = element("canvas", { width: 768, height: 768 });
  const pen = canvas.getContext("2d");
  const disc = (x, y, radius, colour) => {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
  };
  pen.fillStyle = `hsl(${number * 53} 45% 70%)`;
  pen.fillRect(0, 0, 768, 768);
  const [x, y] = [384 + 40 * Math.sin(number), 400 + 30 * Math.cos(2 * number)];
  disc(x, y - 40, 260, "hsl(25 45% 30%)");
  disc(x, y, 230, "hsl(28 55% 72%)");
  [-80, 80].forEach((side) => disc(x + side + 10 * Math.sin(number), y - 30, 26, "hsl(210 40% 25%)"));
  pen.lineWidth = 14;
  pen.strokeStyle = "hsl(0 50% 40%)";
  pen.beginPath();
  pen.arc(x, y + 50, 90, 0.2 * Math.PI, (0.7 + 0.02 * number) * Math.PI);
  pen.stroke();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
  return new File([blob], `drawn-${number}.jpg`, { type: "image/jpeg" });
}

/** Take photos from wherever they come for the character that `character()` names. */
export function takePhotos(character, onCount) {
  const place = one("#step-photos .said");
  const drop = one("#drop");
  const take = async (files) => {
    if (!files.length) return;
    try {
      await send(character(), files, place);
    } catch (error) {
      say(place, error.message, "error");
    }
    await showPhotos(character(), onCount).catch((error) => say(place, error.message, "error"));
  };
  one("#photo-input").addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    take(files);
  });
  one("#sample-photos")?.addEventListener("click", async () => take(await Promise.all([...Array(DRAWN).keys()].map(drawn))));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.dataset.over = "";
  });
  drop.addEventListener("dragleave", () => delete drop.dataset.over);
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    delete drop.dataset.over;
    take([...event.dataTransfer.files]);
  });
}
