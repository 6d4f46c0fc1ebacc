// Pictures to work from: chosen as a file, uploaded, and shown small beside the name that the form sends.
const NAMES = ["init_image", "control_image", "reference_image"];
const UPLOADED = "input-";

function addressOf(name) {
  const folder = name.startsWith(UPLOADED) ? "/api/generation/images/" : "/api/outputs/";
  return `${folder}${encodeURIComponent(name)}?size=160`;
}

function equip(field) {
  const control = field.querySelector("input");
  // Never in the page: the admin's theme writes the names of chosen files into text fields.
  const chooser = Object.assign(document.createElement("input"), { type: "file", accept: "image/*" });
  const button = Object.assign(document.createElement("button"), { type: "button", className: "cp-button", textContent: "Choose a file…" });
  button.setAttribute("aria-label", `Choose a file as ${control.labels[0].firstChild.textContent.trim()}`);
  const said = Object.assign(document.createElement("span"), { className: "cp-quiet" });
  said.setAttribute("role", "status");
  const picture = Object.assign(document.createElement("img"), { alt: "", hidden: true });
  const row = Object.assign(document.createElement("p"), { className: "form-upload" });
  row.append(picture, button, said);
  control.after(row);

  function show() {
    const name = control.value.trim();
    picture.hidden = !name;
    if (name) picture.src = addressOf(name);
  }

  async function upload(file) {
    said.textContent = "Uploading…";
    const body = new FormData();
    body.append("file", file);
    try {
      const answer = await fetch("/api/generation/images", { method: "POST", body });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.detail);
      control.value = told.name;
      control.dispatchEvent(new Event("input", { bubbles: true }));
      show();
      said.textContent = "Uploaded.";
    } catch (error) {
      said.textContent = `Not uploaded: ${error.message}`;
    }
  }

  button.addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => chooser.files[0] && upload(chooser.files[0]));
  control.addEventListener("change", show);
  picture.addEventListener("error", () => { picture.hidden = true; });
  show();
}

export function equipPictureFields(form) {
  for (const name of NAMES) {
    const field = form.querySelector(`.form-field[data-field="${name}"]`);
    if (field) equip(field);
  }
}
