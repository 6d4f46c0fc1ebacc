/* The public API. Each call resolves to what was answered, or rejects with a sentence for people. */

const RETRIES = 3;
const LONGEST_WAIT_SECONDS = 90;
const REOPEN_SECONDS = 5;

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** A refusal or a failure; `message` is the API's own sentence where there is one. */
export class ApiError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

async function sentenceOf(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}

/** 429 and 503 say when to come again: that is done here, and `onWait(seconds)` is told. */
export async function call(method, path, { json, form, headers = {}, onWait = () => {} } = {}) {
  const sent = { method, headers: { ...headers }, body: form };
  if (json !== undefined) {
    sent.headers["Content-Type"] = "application/json";
    sent.body = JSON.stringify(json);
  }
  for (let attempt = 1; ; attempt += 1) {
    let answer;
    try {
      answer = await fetch(path, sent);
    } catch {
      throw new ApiError("The server cannot be reached. Is the network there?");
    }
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    const wait = Number(answer.headers.get("Retry-After"));
    const isBusy = [429, 503].includes(answer.status) && wait > 0 && wait <= LONGEST_WAIT_SECONDS;
    if (!isBusy || attempt === RETRIES) throw new ApiError(await sentenceOf(answer), answer.status);
    onWait(wait);
    await pause(wait);
  }
}

/** Names a request, so that sending it again after a lost answer starts nothing twice. */
export const nameOfRequest = () => ({
  "Idempotency-Key": Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
});

/**
 * Follow a job: `on.progress`, `on.preview`, `on.complete` get the data, `on.lost` whether the line is down.
 * What comes back has `close()`.
 */
export function follow(job, on) {
  let source;
  let isOver = false;
  const close = () => {
    isOver = true;
    source.close();
  };
  const open = () => {
    source = new EventSource(`/api/jobs/${job}/stream`);
    const hear = (name) => source.addEventListener(name, (event) => {
      if (name === "complete") close();
      on.lost(false);
      on[name]?.(JSON.parse(event.data));
    });
    ["progress", "preview", "complete"].forEach(hear);
    source.addEventListener("open", () => on.lost(false));
    source.addEventListener("error", () => {
      if (isOver) return;
      on.lost(true);
      // The browser tries again by itself, unless it was refused.
      if (source.readyState === EventSource.CLOSED) reopen();
    });
  };
  const reopen = async () => {
    await pause(REOPEN_SECONDS);
    if (isOver) return;
    try {
      await call("GET", `/api/jobs/${job}/artifacts`);
    } catch (error) {
      // A job that was deleted has no stream any more.
      if (error.status === 404) isOver = true;
    }
    if (isOver) on.lost(false);
    else open();
  };
  open();
  return { close };
}
