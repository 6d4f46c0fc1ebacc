/* Keeps the first page of the admin true: bars move with the stream of all jobs, everything else is fetched anew. */

import { askFirst } from "../asking.js";
import { clock, duration } from "../in_words.js";
import { isSelectedIn } from "../selecting.js";

const REFRESH_MILLISECONDS = 5000;
const SOON_MILLISECONDS = 400;
const REOPEN_MILLISECONDS = 5000;
const ANSWER_MILLISECONDS = 10000;
const TOKEN = /name="csrfmiddlewaretoken" value="[^"]*"/g;

const board = document.querySelector("#dashboard");
const parts = document.querySelector("#dash-parts");
const line = document.querySelector("#dash-line");
const words = document.querySelector("#dash-line-words");
const news = document.querySelector("#dash-news");
const reachable = { stream: false, overview: true };
// What the stream last told of each job: newer than the rows, which a refresh shows, by up to two seconds.
const latest = new Map();
let liveAt = Date.now();
let soon = 0;
let cardsAt = 0;
let isFetching = false;
let isHeld = false;
let source = null;

function say(place, text) {
  if (place && place.textContent !== text) place.textContent = text;
}

/* --- whether it is live --- */

function note(what, isReached) {
  reachable[what] = isReached;
  const isLive = reachable.stream && reachable.overview;
  if (isLive) liveAt = Date.now();
  line.dataset.state = isLive ? "live" : "lost";
  say(words, isLive ? (isHeld ? "Live, except where text is selected" : "Live") : `Not live since ${clock(liveAt)} UTC, trying again`);
}

/* --- the stream --- */

const cardOf = (job) => parts.querySelector(`[data-job="${CSS.escape(job)}"]`);

function show(data) {
  const card = cardOf(data.job_id);
  if (!card) return;
  const place = (name) => card.querySelector(`[data-live="${name}"]`);
  place("bar").value = data.progress;
  say(place("percent"), `${data.progress} %`);
  say(place("message"), data.message);
  if (data.total_steps) say(place("steps"), `${data.current_step}/${data.total_steps}`);
  if (data.iteration_speed !== undefined) say(place("speed"), `${data.iteration_speed.toFixed(2)} steps/s`);
  if (data.eta_seconds !== undefined) say(place("remaining"), duration(data.eta_seconds));
  if (data.loss !== undefined) say(place("loss"), data.loss.toFixed(4));
}

function follow() {
  source?.close();
  source = new EventSource(board.dataset.stream);
  source.addEventListener("open", () => {
    latest.clear();
    note("stream", true);
    refreshSoon();
  });
  source.addEventListener("error", () => {
    note("stream", false);
    // It comes back by itself, unless it was refused.
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, REOPEN_MILLISECONDS);
  });
  source.addEventListener("progress", (event) => {
    const data = JSON.parse(event.data);
    latest.set(data.job_id, data);
    show(data);
    const card = cardOf(data.job_id);
    if (Boolean(card) !== (data.status === "running")) refreshCards();
  });
  source.addEventListener("complete", (event) => {
    const data = JSON.parse(event.data);
    latest.delete(data.job_id);
    show(data);
    say(news, `${clock(Date.now())} UTC: ${data.job_id}: ${data.message}`);
    refreshSoon();
  });
}

/* --- the rest --- */

// Not every running job has a card, so that what tells of one without is no reason to refresh with each event.
function refreshCards() {
  if (Date.now() - cardsAt < REFRESH_MILLISECONDS) return;
  cardsAt = Date.now();
  refreshSoon();
}

function refreshSoon() {
  if (!soon) soon = setTimeout(refresh, SOON_MILLISECONDS);
}

async function refresh() {
  clearTimeout(soon);
  soon = 0;
  if (isFetching || document.hidden) return;
  isFetching = true;
  try {
    const answer = await fetch(board.dataset.overview, {
      headers: { Accept: "text/html" },
      // A server that hangs must not look like one that has nothing new.
      signal: AbortSignal.timeout(ANSWER_MILLISECONDS),
    });
    if (answer.redirected) location.reload();
    if (!answer.ok) throw new Error(`${answer.status}`);
    put(await answer.text());
    note("overview", true);
  } catch {
    note("overview", false);
  } finally {
    isFetching = false;
  }
}

/** Put in what has changed. Who is at a button, or has a table open, stays there. */
function put(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const names = (within) => [...within.querySelectorAll("[data-part]")].map((part) => part.dataset.part).join();
  if (names(fresh) !== names(parts)) parts.replaceChildren(...fresh.body.childNodes);
  isHeld = false;
  fresh.querySelectorAll("[data-part]").forEach((part) => {
    const old = parts.querySelector(`[data-part="${part.dataset.part}"]`);
    if (markup(old) === markup(part)) return;
    if (isSelectedIn(old)) isHeld = true;
    else exchange(old, part);
  });
  if (reachable.stream) latest.forEach(show);
}

// What the stream has written into the page since is older or the same: it counts as a change, which does no harm.
const markup = (part) => part.innerHTML.replace(TOKEN, "").replace(' open=""', "");

function exchange(old, part) {
  const focused = old.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const open = [...old.querySelectorAll("details[open]")].map((details) => details.dataset.keep);
  old.replaceChildren(...part.childNodes);
  open.forEach((name) => old.querySelector(`details[data-keep="${name}"]`)?.setAttribute("open", ""));
  if (focused) [...old.querySelectorAll("a, button, summary")].find((each) => keyOf(each) === focused)?.focus({ preventScroll: true });
}

const keyOf = (element) => `${element.tagName} ${element.getAttribute("href") ?? ""} ${element.getAttribute("aria-label") ?? element.textContent}`;

/* --- acting --- */

askFirst(parts);
parts.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented) return;
  // Not twice, however fast the finger is.
  setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
});
document.addEventListener("visibilitychange", refreshSoon);
document.addEventListener("selectionchange", () => {
  if (isHeld && getSelection()?.isCollapsed) refreshSoon();
});
// The browser would count the cut as an error of the page that comes next.
addEventListener("pagehide", () => source.close());
addEventListener("pageshow", (event) => event.persisted && follow());

follow();
setInterval(refresh, REFRESH_MILLISECONDS);
