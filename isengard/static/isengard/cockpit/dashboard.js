/* Keeps the first page of the admin true: bars move with the stream of all jobs, everything else is fetched anew. */

const REFRESH_MILLISECONDS = 5000;
const SOON_MILLISECONDS = 400;
const REOPEN_MILLISECONDS = 5000;
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
let isFetching = false;

const clock = (moment) => new Date(moment).toISOString().slice(11, 19);

function say(place, text) {
  if (place && place.textContent !== text) place.textContent = text;
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/* --- whether it is live --- */

function note(source, isReached) {
  const wasLive = reachable.stream && reachable.overview;
  reachable[source] = isReached;
  if (wasLive && !isReached) liveAt = Date.now();
  const isLive = reachable.stream && reachable.overview;
  line.dataset.state = isLive ? "live" : "lost";
  say(words, isLive ? "Live" : `Not live since ${clock(liveAt)} UTC, trying again`);
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
  const source = new EventSource(board.dataset.stream);
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
    if (Boolean(card) !== (data.status === "running")) refreshSoon();
  });
  source.addEventListener("complete", (event) => {
    const data = JSON.parse(event.data);
    latest.delete(data.job_id);
    show(data);
    say(news, `${clock(Date.now())} UTC: ${data.job_id}: ${data.message}`);
    refreshSoon();
  });
  // The browser would count the cut as an error of the page that comes next.
  addEventListener("pagehide", () => source.close());
}

/* --- the rest --- */

function refreshSoon() {
  if (!soon) soon = setTimeout(refresh, SOON_MILLISECONDS);
}

async function refresh() {
  clearTimeout(soon);
  soon = 0;
  if (isFetching || document.hidden) return;
  isFetching = true;
  try {
    const answer = await fetch(board.dataset.overview, { headers: { Accept: "text/html" } });
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
  fresh.querySelectorAll("[data-part]").forEach((part) => {
    const old = parts.querySelector(`[data-part="${part.dataset.part}"]`);
    if (markup(old) !== markup(part)) exchange(old, part);
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

parts.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  // Not twice, however fast the finger is.
  setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
});
document.addEventListener("visibilitychange", refreshSoon);

follow();
setInterval(refresh, REFRESH_MILLISECONDS);
