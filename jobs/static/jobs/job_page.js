// The page of one job: moves while the job runs, asks before it does harm, and shows pictures large.
import { askFirst } from "../isengard/asking.js";
import { duration } from "../isengard/in_words.js";
import { isSelectedIn } from "../isengard/selecting.js";
import { startCurve } from "./job_curve.js";
import { startLog } from "./job_log.js";
import { startPictures } from "./job_pictures.js";
import { JobStream } from "./job_stream.js";

const REFRESH_GAP_MS = 3000;
const SPEAK_GAP_MS = 30000;
const ANSWER_MS = 10000;
const NOTHING = "-";

const page = document.getElementById("job-page");
const byId = (id) => document.getElementById(id);

function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function setFact(name, text) {
  setText(document.querySelector(`[data-fact="${name}"]`), text);
}

function gpuInWords(gpu) {
  const gib = (mebibytes) => (mebibytes / 1024).toFixed(1);
  return `${gpu.utilization.toFixed(0)} % busy, ${gib(gpu.memory_used)} of ${gib(gpu.memory_total)} GiB, ${gpu.temperature.toFixed(0)} °C`;
}

// No powers of ten: 0.00005, as the forms have it.
const rateInWords = (rate) => rate.toLocaleString("en", { maximumSignificantDigits: 2, useGrouping: false });

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
  setFact("eta", told.eta_seconds === undefined ? NOTHING : duration(told.eta_seconds));
  if (told.loss !== undefined) setFact("loss", told.loss.toFixed(4));
  if (told.lr !== undefined) setFact("rate", rateInWords(told.lr));
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
let isOwed = false;
async function readAgain() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(ANSWER_MS) });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  isOwed = false;
  for (const old of page.querySelectorAll("[data-refresh]")) {
    const found = fresh.getElementById(old.id);
    if (!found || found.innerHTML === old.innerHTML) continue;
    const isInUse = old.contains(document.activeElement) || isSelectedIn(old);
    if (isInUse) isOwed = true;
    else old.replaceChildren(...found.childNodes);
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

// What was left as it was, because somebody was at it, comes when they have gone.
document.addEventListener("selectionchange", () => {
  if (isOwed && getSelection()?.isCollapsed) refreshSoon();
});
document.addEventListener("focusout", () => {
  if (isOwed) refreshSoon();
});

function follow(curve, log) {
  let last = { status: byId("job-status").textContent, attempt: null };
  const progress = (told) => {
    showState(told);
    curve?.add(told);
    speak(`${told.progress} percent. ${told.message}`);
    const hasMoved = told.status !== last.status || (last.attempt !== null && told.attempt !== last.attempt);
    if (hasMoved || told.artifacts) refreshSoon();
    last = told;
  };
  const complete = (told) => {
    stream.end();
    showState(told);
    page.dataset.live = "no";
    speak(told.message, true);
    refreshSoon();
    // Its log and curve are archived in the moments after the end.
    setTimeout(() => { curve?.read(); log.end(); refreshSoon(); }, REFRESH_GAP_MS);
  };
  const stream = new JobStream(page.dataset.api, (words) => setText(byId("job-link-state"), words), { progress, complete });
}

if (page) {
  askFirst(page);
  const curve = startCurve();
  const log = startLog(() => page.dataset.live === "yes");
  startPictures(page);
  if (page.dataset.live === "yes") follow(curve, log);
}
