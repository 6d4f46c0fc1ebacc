// The page of one job: moves while the job runs, asks before it does harm, and shows pictures large.
import { startCurve } from "./job_curve.js";
import { startLog } from "./job_log.js";
import { startPictures } from "./job_pictures.js";

const REFRESH_GAP_MS = 3000;
const SPEAK_GAP_MS = 30000;
const NOTHING = "-";

const page = document.getElementById("job-page");
const byId = (id) => document.getElementById(id);

function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function setFact(name, text) {
  setText(document.querySelector(`[data-fact="${name}"]`), text);
}

function inWords(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const padded = (number) => String(number).padStart(2, "0");
  if (whole >= 86400) return `${Math.floor(whole / 86400)} d ${padded(Math.floor(whole / 3600) % 24)} h`;
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${padded(Math.floor(whole / 60) % 60)} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${padded(whole % 60)} s` : `${whole} s`;
}

function gpuInWords(gpu) {
  const gib = (mebibytes) => (mebibytes / 1024).toFixed(1);
  return `${gpu.utilization} % busy, ${gib(gpu.memory_used)} of ${gib(gpu.memory_total)} GiB, ${gpu.temperature} °C`;
}

function showState(told) {
  const badge = byId("job-status");
  setText(badge, told.status);
  badge.className = `badge badge-${told.status}`;
  byId("job-bar").value = told.progress;
  setText(byId("job-percent"), `${told.progress} %`);
  setText(byId("job-message"), told.message);
  setFact("stage", (told.stage || NOTHING).replaceAll("_", " "));
  if (told.total_steps) setFact("step", `${told.current_step} of ${told.total_steps}`);
  setFact("speed", told.iteration_speed === undefined ? NOTHING : `${told.iteration_speed.toFixed(2)} steps/s`);
  setFact("eta", told.eta_seconds === undefined ? NOTHING : inWords(told.eta_seconds));
  if (told.loss !== undefined) setFact("loss", told.loss.toFixed(4));
  if (told.lr !== undefined) setFact("rate", String(Number(told.lr.toPrecision(2))));
  if (told.gpu) setFact("gpu", gpuInWords(told.gpu));
}

// A screen reader hears where it is now and then, not with every step.
let spokenAt = 0;
function speak(text, isUrgent = false) {
  if (!isUrgent && Date.now() - spokenAt < SPEAK_GAP_MS) return;
  spokenAt = Date.now();
  setText(byId("job-spoken"), text);
}

// What the stream does not tell comes from the page itself, read again: files, timeline, buttons, why it failed.
let refreshing = null;
let refreshedAt = Date.now();
async function readAgain() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of page.querySelectorAll("[data-refresh]")) {
    const found = fresh.getElementById(old.id);
    if (!found || found.innerHTML === old.innerHTML || old.contains(document.activeElement)) continue;
    old.replaceChildren(...found.childNodes);
  }
  refreshedAt = Date.now();
}

function refreshSoon() {
  if (refreshing) return;
  const wait = Math.max(0, REFRESH_GAP_MS - (Date.now() - refreshedAt));
  refreshing = setTimeout(() => {
    readAgain().catch(() => {}).finally(() => { refreshing = null; });
  }, wait);
}

function follow(curve, log) {
  let last = { status: byId("job-status").textContent, attempt: null };
  const state = byId("job-link-state");
  const source = new EventSource(`${page.dataset.api}/stream`);
  source.addEventListener("open", () => setText(state, ""));
  source.addEventListener("error", () => {
    setText(state, `Not live since ${new Date().toLocaleTimeString()}; trying again.`);
  });
  source.addEventListener("progress", (event) => {
    const told = JSON.parse(event.data);
    showState(told);
    curve?.add(told);
    speak(`${told.progress} percent. ${told.message}`);
    const hasMoved = told.status !== last.status || (last.attempt !== null && told.attempt !== last.attempt);
    if (hasMoved || told.artifacts) refreshSoon();
    last = told;
  });
  source.addEventListener("complete", (event) => {
    source.close();
    const told = JSON.parse(event.data);
    showState(told);
    setText(state, "");
    page.dataset.live = "no";
    speak(told.message, true);
    refreshSoon();
    // Its log and curve are archived in the moments after the end.
    setTimeout(() => { curve?.read(); log.end(); refreshSoon(); }, REFRESH_GAP_MS);
  });
  // It will not run on while one is away, so the stream may be closed without a word.
  addEventListener("pagehide", () => source.close());
}

page?.addEventListener("submit", (event) => {
  const { question } = event.target.dataset;
  if (question && !confirm(question)) event.preventDefault();
});

if (page) {
  const curve = startCurve();
  const log = startLog(() => page.dataset.live === "yes");
  startPictures(page);
  if (page.dataset.live === "yes") follow(curve, log);
}
