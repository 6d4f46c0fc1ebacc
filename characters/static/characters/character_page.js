// The page of one character: captions that save themselves, photos by drag and drop, and the dataset report.
import { askFirst } from "../isengard/asking.js";
import { send } from "./asking.js";

const FILES_AT_ONCE = 5;
const IDLE_MS = 4000;
const AFTER_CHANGES_MS = 800;

const page = document.getElementById("character-page");
const byId = (id) => document.getElementById(id);

// --- the report ---

let reporting = null;

async function readReport() {
  const place = byId("char-report");
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(byId("char-dataset").dataset.report);
    if (!answer.ok || answer.redirected) throw new Error(`Error ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body.firstElementChild;
    place.replaceChildren(fresh);
    if (Number(fresh.dataset.unmeasured)) readReportSoon(0);
    else place.setAttribute("aria-busy", "false");
  } catch (error) {
    place.textContent = `The report cannot be read now (${error.message}). Load the page again.`;
  }
}

function readReportSoon(wait = AFTER_CHANGES_MS) {
  clearTimeout(reporting);
  reporting = setTimeout(readReport, wait);
}

// --- captions ---

function say(form, text, state) {
  const said = form.querySelector(".char-said");
  said.textContent = text;
  said.dataset.state = state;
}

const kept = new WeakMap();
const timers = new WeakMap();

async function save(area) {
  clearTimeout(timers.get(area));
  const text = area.value;
  if (text === kept.get(area)) return;
  const { form } = area;
  const before = kept.get(area);
  kept.set(area, text);
  say(form, "Saving…", "busy");
  try {
    await send(form, new FormData(form), { keepalive: true });
    if (area.value === text) say(form, "Saved", "well");
    readReportSoon();
  } catch (error) {
    if (kept.get(area) === text) kept.set(area, before);
    say(form, `Not saved: ${error.message}`, "trouble");
  }
}

function nextArea(area, by) {
  const all = [...page.querySelectorAll("[data-caption] textarea")];
  return all[all.indexOf(area) + by];
}

function startCaptions() {
  page.addEventListener("focusin", ({ target: area }) => {
    if (area.matches("[data-caption] textarea") && !kept.has(area)) kept.set(area, area.defaultValue);
  });
  page.addEventListener("input", ({ target: area }) => {
    if (!area.matches("[data-caption] textarea")) return;
    say(area.form, "Not saved yet", "busy");
    clearTimeout(timers.get(area));
    timers.set(area, setTimeout(() => save(area), IDLE_MS));
  });
  page.addEventListener("focusout", ({ target: area }) => {
    if (area.matches("[data-caption] textarea")) save(area);
  });
  page.addEventListener("keydown", (event) => {
    const area = event.target;
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !area.matches("[data-caption] textarea")) return;
    event.preventDefault();
    const next = nextArea(area, event.shiftKey ? -1 : 1);
    save(area);
    next?.focus();
  });
  addEventListener("beforeunload", (event) => {
    const areas = [...page.querySelectorAll("[data-caption] textarea")];
    if (areas.some((area) => kept.has(area) && area.value !== kept.get(area))) event.preventDefault();
  });
}

// --- photos ---

async function readPhotos() {
  readReportSoon();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of page.querySelectorAll("[data-refresh]")) {
    const found = fresh.getElementById(old.id);
    if (found) refresh(old, found);
  }
}

/** Cards that are there stay, with the caption that somebody is at; only what came and what went changes. */
function refresh(old, found) {
  const [list, freshList] = [old, found].map((place) => place.querySelector(".char-photos"));
  if (!list || !freshList) {
    old.replaceChildren(...found.childNodes);
    return;
  }
  const there = new Set([...list.children].map(({ id }) => id));
  const cards = [...freshList.children];
  const left = new Set(cards.map(({ id }) => id));
  [...list.children].filter(({ id }) => !left.has(id)).forEach((card) => card.remove());
  list.append(...cards.filter(({ id }) => !there.has(id)));
}

function tellRefused(refused) {
  const said = byId("char-upload-said");
  for (const { filename, reason } of refused) {
    const line = document.createElement("p");
    line.className = "char-bad";
    line.textContent = `${filename}: ${reason}`;
    said.append(line);
  }
}

async function upload(files) {
  const form = byId("char-drop");
  const [bar, said] = [byId("char-upload"), byId("char-upload-said")];
  const token = form.elements.csrfmiddlewaretoken.value;
  let added = 0;
  bar.hidden = false;
  bar.value = 0;
  said.replaceChildren();
  for (let at = 0; at < files.length; at += FILES_AT_ONCE) {
    const body = new FormData();
    body.append("csrfmiddlewaretoken", token);
    for (const file of files.slice(at, at + FILES_AT_ONCE)) body.append("files", file);
    try {
      const told = await send(form, body);
      added += told.uploaded.length;
      tellRefused(told.rejected);
    } catch (error) {
      tellRefused([{ filename: `${files.length - at} photos`, reason: error.message }]);
      break;
    }
    bar.value = Math.round((Math.min(at + FILES_AT_ONCE, files.length) / files.length) * 100);
  }
  bar.hidden = true;
  form.reset();
  const line = document.createElement("p");
  line.textContent = added === 1 ? "1 photo is there." : `${added} photos are there.`;
  said.prepend(line);
  if (added) await readPhotos().catch(() => tellRefused([{ filename: "The page", reason: "it could not be refreshed; load it again" }]));
}

function startUpload() {
  const form = byId("char-drop");
  if (!form) return;
  let isBusy = false;
  const take = async (list) => {
    const files = [...list];
    if (!files.length || isBusy) return;
    isBusy = true;
    try { await upload(files); } finally { isBusy = false; }
  };
  form.classList.add("char-drop-live");
  form.addEventListener("submit", (event) => { event.preventDefault(); take(byId("char-files").files); });
  // On its way down: the theme's own listener takes every file field for one of its own, and throws at this one.
  form.addEventListener("change", (event) => { event.stopPropagation(); take(event.target.files); }, true);
  for (const name of ["dragenter", "dragover"]) {
    form.addEventListener(name, (event) => { event.preventDefault(); form.classList.add("char-drop-over"); });
  }
  for (const name of ["dragleave", "drop"]) form.addEventListener(name, () => form.classList.remove("char-drop-over"));
  form.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
}

function startDeleting() {
  page.addEventListener("submit", async (event) => {
    const form = event.target;
    const name = form.dataset.delete;
    if (!name) return;
    event.preventDefault();
    if (!confirm(`Delete ${name}? Its file goes too.`)) return;
    const card = form.closest(".char-photo");
    const neighbour = card.nextElementSibling ?? card.previousElementSibling;
    try {
      await send(form, new FormData(form));
      card.remove();
      (neighbour?.querySelector("a") ?? byId("char-files"))?.focus();
    } catch (error) {
      alert(`${name} is not deleted: ${error.message}`);
      return;
    }
    // What cannot be read now is read with the next change.
    readPhotos().catch(() => {});
  });
}

if (page) {
  page.classList.add("char-live");
  askFirst(page);
  startCaptions();
  startUpload();
  startDeleting();
  page.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-caption]")) return;
    event.preventDefault();
    save(event.target.elements.caption);
  });
  readReport();
}
