// Fills a form in again when another model, preset or workflow is chosen, and says what they cannot do. What a person
// has changed stays as it is.
import { equipPictureFields } from "./form_pictures.js";

const form = document.getElementById("start-form");
const facts = JSON.parse(document.getElementById("start-facts").textContent);
const errors = document.getElementById("form-errors");
const touched = new Set();
const offAtFirst = new Set([...form.querySelectorAll("[data-field] :disabled")].map((control) => control.name));
// What some model has something to say about; the notes of other fields stay as they are.
const told = new Set(Object.values(facts.notes ?? {}).flatMap((notes) => Object.keys(notes)));
const notesAtFirst = new Map([...form.querySelectorAll(".form-field[data-field]")].map((place) => [place.dataset.field, place.querySelector("[data-note]")?.textContent ?? ""]));

const chosen = (name) => form.querySelector(`[name="${name}"]:checked`)?.value ?? "";
const model = () => chosen("base_model") || chosen("model_variant");
const preset = () => chosen("preset_name");
const workflow = () => form.elements.namedItem("workflow")?.value ?? "";
const placeOf = (name) => form.querySelector(`.form-field[data-field="${name}"]`);
const controlOf = (name) => placeOf(name)?.querySelector("input, select, textarea");

function valueOf(control) {
  if (control.type === "checkbox") return control.checked ? "on" : "";
  return control.value;
}

function setValue(control, text) {
  if (control.type === "checkbox") control.checked = text === "on";
  else control.value = text;
}

function usualOf(name) {
  return facts.fills?.[model()]?.[preset()]?.[name] ?? facts.usual[name];
}

function fillIn() {
  if (!facts.usual) return;
  for (const name of Object.keys(facts.usual)) {
    const control = controlOf(name);
    // What a workflow takes is as it is there, unless somebody says otherwise.
    const isItsOwn = workflow() && control && control.type !== "checkbox" && control.tagName !== "SELECT";
    if (control && !touched.has(name)) setValue(control, isItsOwn ? "" : usualOf(name));
  }
}

// Some defaults are the value of another field.
function follow(leader) {
  for (const [name, followed] of Object.entries(facts.follows?.[model()] ?? {})) {
    if (followed === leader && !touched.has(name)) setValue(controlOf(name), valueOf(controlOf(leader)));
  }
}

// The parameters that the workflow takes; null where none is chosen, or one whose parameters nobody knows.
function takenByWorkflow() {
  const taken = workflow() ? facts.workflows?.[workflow()] : facts.takes;
  return taken ? new Set(taken) : null;
}

function sayWhatIsOff() {
  const taken = takenByWorkflow();
  const notes = taken ? {} : facts.notes?.[model()] ?? {};
  const off = new Set(taken ? [] : facts.off?.[model()] ?? []);
  for (const place of form.querySelectorAll(".form-field[data-field]")) {
    const { field: name } = place.dataset;
    const note = place.querySelector("[data-note]");
    const control = controlOf(name);
    if (!note) continue;
    const isLeftOut = taken !== null && !taken.has(name);
    note.textContent = isLeftOut ? "The workflow does not take it." : told.has(name) ? notes[name] ?? "" : notesAtFirst.get(name);
    for (const each of place.querySelectorAll("button, [type=hidden]")) each.disabled = isLeftOut;
    control.disabled = isLeftOut || off.has(name) || offAtFirst.has(name);
    if (off.has(name) && control.type === "checkbox") control.checked = false;
  }
  const takesLoras = taken === null || taken.has("lora_id");
  for (const control of form.querySelectorAll(".form-loras input, [name=model_variant]")) {
    control.disabled = control.name === "model_variant" ? Boolean(workflow()) : !takesLoras;
  }
}

function nameLora(input) {
  const option = [...input.list.options].find(({ value }) => value === input.value.trim());
  input.closest(".form-lora").querySelector("[data-named]").textContent = option?.textContent ?? "";
}

// What is wrong in a part that is folded would not be seen.
function showErrors() {
  if (!errors) return;
  for (const wrong of form.querySelectorAll("details [aria-invalid], details .cp-error")) wrong.closest("details").open = true;
  const list = document.getElementById("form-errors-fields");
  const links = [...form.querySelectorAll("[aria-invalid]")].map((control) => {
    const isGroup = control.matches("fieldset");
    const label = isGroup ? control.querySelector("legend") : control.labels[0];
    const words = label.firstChild.textContent.trim() || label.textContent.trim();
    const target = isGroup ? control.querySelector("input:enabled") ?? errors : control;
    return Object.assign(document.createElement("a"), { href: `#${target.id}`, textContent: words });
  });
  if (links.length) list.replaceChildren("Put right: ", ...links.flatMap((link, index) => (index ? [", ", link] : [link])), ".");
  errors.focus();
}

for (const name of Object.keys(facts.usual ?? {})) {
  const control = controlOf(name);
  if (control && valueOf(control) !== usualOf(name)) touched.add(name);
}
form.addEventListener("input", ({ target }) => {
  const name = target.closest(".form-field")?.dataset.field;
  if (name) touched.add(name);
  if (name) follow(name);
  if (target.list) nameLora(target);
});
form.addEventListener("change", ({ target }) => {
  if (!["base_model", "model_variant", "preset_name", "workflow"].includes(target.name)) return;
  fillIn();
  for (const name of touched) follow(name);
  sayWhatIsOff();
});
// One click too many starts nothing twice; this only spares the question.
form.addEventListener("submit", () => {
  const button = form.querySelector(".form-submit button");
  setTimeout(() => { button.disabled = true; });
  addEventListener("pageshow", () => { button.disabled = false; }, { once: true });
});

equipPictureFields(form);
if (workflow()) fillIn();
sayWhatIsOff();
showErrors();
