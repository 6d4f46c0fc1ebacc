// The loss curve: as measured and smoothed, growing while the training runs, and the same numbers as a table.
const MAX_ROWS = 200;
const DEFAULT_COLOURS = { line: "#1d7a72", faint: "rgba(29, 122, 114, .28)", rate: "#8a5a00", text: "#4b5563", grid: "rgba(128, 128, 128, .2)" };
const DARK_COLOURS = { line: "#4fd1c5", faint: "rgba(79, 209, 197, .28)", rate: "#e0ad4b", text: "#d1d5db", grid: "rgba(160, 160, 160, .18)" };

// An exponential moving average that does not lean towards its start; a loss that was no number is left out.
export function smoothed(points, weight) {
  let sum = 0;
  let mass = 0;
  return points.map(({ loss }) => {
    if (loss === null) return null;
    sum = weight * sum + (1 - weight) * loss;
    mass = weight * mass + (1 - weight);
    return sum / mass;
  });
}

function colours() {
  return document.documentElement.classList.contains("dark") ? DARK_COLOURS : DEFAULT_COLOURS;
}

function short(number) {
  return number === null ? "no number" : number.toPrecision(3);
}

class Curve {
  constructor(section) {
    this.section = section;
    this.points = [];
    this.nulls = 0;
    this.smoothing = section.querySelector("#job-smoothing");
    this.rate = section.querySelector("#job-rate");
    this.table = section.querySelector("#job-curve-table");
    this.summary = section.querySelector("#job-curve-summary");
    this.smoothing.addEventListener("input", () => this.draw());
    this.rate.addEventListener("change", () => this.draw());
    this.table.addEventListener("toggle", () => this.fillTable());
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["class"] });
  }

  async read() {
    try {
      const answer = await fetch(this.section.dataset.loss);
      if (!answer.ok) throw new Error((await answer.json()).detail);
      const curve = await answer.json();
      const measured = curve.points.at(-1)?.step ?? 0;
      this.points = [...curve.points, ...this.points.filter((point) => point.step > measured)];
      this.nulls = curve.null_points;
      this.draw();
    } catch (error) {
      this.summary.textContent = `The curve cannot be read: ${error.message}`;
    }
  }

  add({ loss, lr, current_step: step, status }) {
    if (loss === undefined || status !== "running") return;
    const last = this.points.at(-1)?.step ?? 0;
    // An attempt that went back makes these steps again.
    if (step < last) return void this.read();
    if (step === last) return;
    this.points.push({ step, loss, learning_rate: lr ?? null });
    this.draw();
  }

  draw() {
    const isEmpty = this.points.length === 0;
    for (const part of this.section.querySelectorAll(".job-tools, .job-chart, #job-curve-table")) part.hidden = isEmpty;
    this.section.querySelector("output").textContent = Number(this.smoothing.value).toFixed(2);
    this.summary.textContent = isEmpty ? "Nothing was measured yet." : this.inWords();
    if (isEmpty) return;
    if (!this.chart) this.chart = this.newChart();
    this.show();
    if (this.table.open) this.fillTable();
  }

  inWords() {
    const finite = this.points.filter((point) => point.loss !== null);
    const nulls = this.nulls ? ` ${this.nulls} steps gave no number: it diverged there.` : "";
    if (finite.length === 0) return `No step gave a number.${nulls}`;
    const best = finite.reduce((a, b) => (b.loss < a.loss ? b : a));
    const now = smoothed(this.points, Number(this.smoothing.value)).filter((value) => value !== null).at(-1);
    return `${short(now)} smoothed at step ${this.points.at(-1).step}; lowest ${short(best.loss)} at step ${best.step}.${nulls}`;
  }

  newChart() {
    const line = (label, axis, more) => ({ label, data: [], yAxisID: axis, pointRadius: 0, borderWidth: 1, ...more });
    return new Chart(this.section.querySelector("canvas"), {
      type: "line",
      data: { datasets: [line("Smoothed", "y", { borderWidth: 2 }), line("Loss", "y"), line("Learning rate", "rate", { borderDash: [4, 4] })] },
      options: {
        animation: false,
        maintainAspectRatio: false,
        parsing: false,
        interaction: { mode: "nearest", axis: "x", intersect: false },
        scales: { x: { type: "linear", title: { display: true, text: "step" } }, y: {}, rate: { position: "right", grid: { drawOnChartArea: false } } },
        plugins: { legend: { display: true, labels: { boxWidth: 24, boxHeight: 1 } } },
      },
    });
  }

  show() {
    const { line, faint, rate, text, grid } = colours();
    const [even, raw, rates] = this.chart.data.datasets;
    const values = smoothed(this.points, Number(this.smoothing.value));
    even.data = this.points.map(({ step }, index) => ({ x: step, y: values[index] ?? NaN }));
    raw.data = this.points.map(({ step, loss }) => ({ x: step, y: loss ?? NaN }));
    rates.data = this.points.map(({ step, learning_rate: value }) => ({ x: step, y: value ?? NaN }));
    [even.borderColor, raw.borderColor, rates.borderColor] = [line, faint, rate];
    rates.hidden = !this.rate.checked;
    const { scales, plugins } = this.chart.options;
    scales.rate.display = this.rate.checked;
    for (const axis of Object.values(scales)) {
      axis.ticks = { ...axis.ticks, color: text };
      axis.grid = { ...axis.grid, color: grid };
      axis.title = { ...axis.title, color: text };
    }
    plugins.legend.labels.color = text;
    this.chart.update();
  }

  fillTable() {
    if (!this.table.open) return;
    const values = smoothed(this.points, Number(this.smoothing.value));
    const every = Math.ceil(this.points.length / MAX_ROWS);
    const rows = this.points.flatMap((point, index) => {
      if (index % every && index !== this.points.length - 1) return [];
      const row = document.createElement("tr");
      const cells = [point.step, short(point.loss), short(values[index]), point.learning_rate === null ? "" : short(point.learning_rate)];
      for (const text of cells) row.append(Object.assign(document.createElement("td"), { textContent: text }));
      return [row];
    });
    this.table.querySelector("tbody").replaceChildren(...rows);
  }
}

export function startCurve() {
  const section = document.getElementById("job-curve");
  if (!section) return null;
  const curve = new Curve(section);
  curve.read();
  return curve;
}
