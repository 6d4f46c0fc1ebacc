// The events of one job, and whether they still come: a stream that hangs looks like a job that is quiet, so that the
// server is asked beside it.
import { clock } from "../isengard/in_words.js";

const CHECK_MS = 10000;
const ANSWER_MS = 10000;
const REOPEN_MS = 5000;

export class JobStream {
  /** `say` is told whether the page is live, "" while it is; `listeners` take the data of events by their names. */
  constructor(api, say, listeners) {
    Object.assign(this, { api, say, listeners });
    this.reached = { stream: true, server: true };
    this.liveAt = Date.now();
    this.isOver = false;
    this.open();
    this.checkSoon();
    // It will not run on while one is away, so the stream may be closed without a word.
    addEventListener("pagehide", () => this.source.close());
    addEventListener("pageshow", (event) => event.persisted && !this.isOver && this.open());
    document.addEventListener("visibilitychange", () => this.check());
  }

  open() {
    clearTimeout(this.opening);
    this.source?.close();
    const source = (this.source = new EventSource(`${this.api}/stream`));
    source.addEventListener("open", () => this.note("stream", true));
    source.addEventListener("error", () => {
      this.note("stream", false);
      // It comes back by itself, unless it was refused.
      if (source.readyState !== EventSource.CLOSED || this.isOver) return;
      this.opening = setTimeout(() => this.open(), REOPEN_MS);
      this.check();
    });
    for (const [name, heard] of Object.entries(this.listeners)) {
      source.addEventListener(name, (event) => heard(JSON.parse(event.data)));
    }
  }

  checkSoon() {
    clearTimeout(this.checking);
    this.checking = setTimeout(() => this.check(), CHECK_MS);
  }

  async check() {
    if (this.isOver || this.isAsking) return;
    this.isAsking = true;
    try {
      if (!document.hidden) await this.ask();
    } catch {
      this.note("server", false);
    }
    this.isAsking = false;
    if (!this.isOver) this.checkSoon();
  }

  async ask() {
    const answer = await fetch(`${this.api}/attempts`, { signal: AbortSignal.timeout(ANSWER_MS) });
    const isOurs = (answer.headers.get("Content-Type") || "").startsWith("application/json");
    if (answer.status === 404 && isOurs) return this.end("This job is gone: it has been deleted. Here stands what was last known of it.");
    if (!answer.ok) throw new Error(`${answer.status}`);
    this.note("server", true);
  }

  note(what, isReached) {
    if (this.isOver) return;
    this.reached[what] = isReached;
    const isLive = this.reached.stream && this.reached.server;
    if (isLive) this.liveAt = Date.now();
    this.say(isLive ? "" : `Not live since ${clock(this.liveAt)} UTC; trying again.`);
  }

  end(words = "") {
    this.isOver = true;
    clearTimeout(this.opening);
    clearTimeout(this.checking);
    this.source.close();
    this.say(words);
  }
}
