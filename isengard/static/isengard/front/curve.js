/* The loss curve: what was measured faintly, and its moving average. */

const WIDTH = 600;
const HEIGHT = 160;
const PADDING = 8;
const SMOOTHING = 0.9;
const SVG = "http://www.w3.org/2000/svg";

function smoothed(points) {
  let average = null;
  return points.map(({ step, loss }) => {
    average = average === null ? loss : SMOOTHING * average + (1 - SMOOTHING) * loss;
    return { step, loss: average };
  });
}

function path(points, scale, name) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("d", points.map((point, index) => `${index ? "L" : "M"}${scale(point)}`).join(""));
  made.setAttribute("class", name);
  return made;
}

/** `points`: {step, loss} in order of steps; a loss that was no number is left out. */
export function drawCurve(figure, points) {
  const known = points.filter(({ loss }) => Number.isFinite(loss));
  figure.hidden = known.length < 2;
  if (figure.hidden) return;
  const losses = known.map(({ loss }) => loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const [first, last] = [known[0].step, known.at(-1).step];
  const x = (step) => PADDING + ((step - first) / (last - first || 1)) * (WIDTH - 2 * PADDING);
  const y = (loss) => HEIGHT - PADDING - ((loss - low) / (high - low || 1)) * (HEIGHT - 2 * PADDING);
  const scale = ({ step, loss }) => `${x(step).toFixed(1)} ${y(loss).toFixed(1)}`;
  const average = smoothed(known);
  figure.querySelector("svg").replaceChildren(path(known, scale, "measured"), path(average, scale, "average"));
  const now = average.at(-1);
  figure.querySelector("figcaption").textContent =
    `Loss by step: ${now.loss.toFixed(4)} (average) at step ${last}, between ${low.toFixed(4)} and ${high.toFixed(4)} so far.`;
}
