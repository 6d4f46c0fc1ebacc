// The log: its end first, further back on request, by level and by text, following while the job runs.
const PAGE_LINES = 200;
const MOST_LINES = 1000;
const FOLLOW_MS = 2000;
const TYPING_MS = 300;
const ANSWER_MS = 30000;

function lineOf({ timestamp, level, event, message, fields }) {
  const line = document.createElement("div");
  line.className = `job-line log-${level}`;
  const time = Object.assign(document.createElement("time"), { dateTime: timestamp, textContent: timestamp.slice(11, 19) });
  time.title = timestamp;
  const known = Object.entries(fields).filter(([, value]) => value !== null);
  const told = known.map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join(" ");
  line.append(time, ` ${level.padEnd(7)} ${event}: ${message}${told ? ` [${told}]` : ""}`);
  return line;
}

class Log {
  constructor(section, isLive) {
    this.address = section.dataset.log;
    this.isLive = isLive;
    this.lines = section.querySelector("#job-log-lines");
    this.level = section.querySelector("#job-log-level");
    this.search = section.querySelector("#job-log-search");
    this.isFollowed = section.querySelector("#job-log-follow");
    this.earlier = section.querySelector("#job-log-earlier");
    this.count = section.querySelector("#job-log-count");
    // Lines [first, next) of those that match are shown. Each filter has its turn: older answers are dropped.
    this.turn = this.first = this.next = 0;
    section.querySelector("#job-log-tools").hidden = false;
    this.level.addEventListener("change", () => this.open());
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.open(), TYPING_MS);
    });
    this.earlier.addEventListener("click", () => this.goBack());
    this.isFollowed.addEventListener("change", () => this.isFollowed.checked && this.toEnd());
  }

  async page(offset, limit) {
    const query = new URLSearchParams({ offset, limit });
    if (this.level.value) query.set("level", this.level.value);
    if (this.search.value.trim()) query.set("search", this.search.value.trim());
    const answer = await fetch(`${this.address}?${query}`, { signal: AbortSignal.timeout(ANSWER_MS) });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.detail);
    return found;
  }

  async open() {
    const turn = ++this.turn;
    try {
      // How many there are is known first, then where the last of them begin.
      const { total_lines: total } = await this.page(0, 1);
      const first = Math.max(0, total - PAGE_LINES);
      const { entries } = await this.page(first, PAGE_LINES);
      if (turn !== this.turn) return;
      [this.first, this.next] = [first, first + entries.length];
      this.lines.replaceChildren(...entries.map(lineOf));
      this.tell(total);
      this.toEnd();
    } catch (error) {
      if (turn === this.turn) this.count.textContent = `The log cannot be read: ${error.message}`;
    }
  }

  async goBack() {
    if (this.isGoingBack) return;
    const turn = this.turn;
    this.isGoingBack = true;
    this.earlier.setAttribute("aria-disabled", "true");
    try {
      await this.readBack(turn);
    } catch (error) {
      if (turn === this.turn) this.count.textContent = `The earlier lines cannot be read: ${error.message}`;
    }
    this.isGoingBack = false;
    this.earlier.removeAttribute("aria-disabled");
  }

  async readBack(turn) {
    const first = Math.max(0, this.first - PAGE_LINES);
    const { entries, total_lines: total } = await this.page(first, Math.max(1, this.first - first));
    if (turn !== this.turn) return;
    this.first = first;
    const fromEnd = this.lines.scrollHeight - this.lines.scrollTop;
    this.lines.prepend(...entries.map(lineOf));
    this.lines.scrollTop = this.lines.scrollHeight - fromEnd;
    this.tell(total);
  }

  async readOn() {
    const turn = this.turn;
    const { entries, total_lines: total } = await this.page(this.next, MOST_LINES);
    if (turn !== this.turn || entries.length === 0) return;
    if (this.next === 0) this.lines.replaceChildren();
    this.next += entries.length;
    this.lines.append(...entries.map(lineOf));
    this.tell(total);
    if (this.isFollowed.checked) this.toEnd();
  }

  tell(total) {
    this.earlier.hidden = this.first === 0;
    const shown = this.next - this.first;
    this.count.textContent = total === 0 ? "no lines" : shown < total ? `the last ${shown} of ${total} lines` : `${total} lines`;
    if (total === 0) this.lines.textContent = "No lines.";
  }

  toEnd() {
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  follow() {
    const again = () => {
      if (!this.isLive()) return;
      const isWanted = this.isFollowed.checked && !document.hidden;
      (isWanted ? this.readOn().catch(() => {}) : Promise.resolve()).finally(() => setTimeout(again, FOLLOW_MS));
    };
    setTimeout(again, FOLLOW_MS);
  }

  end() {
    this.readOn().catch(() => {});
  }
}

export function startLog(isLive) {
  const log = new Log(document.getElementById("job-log"), isLive);
  log.open();
  log.follow();
  return log;
}
