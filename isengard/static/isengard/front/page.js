/* Small tools for the page. Texts of the API only ever become text, never markup. */

export const one = (selector, within = document) => within.querySelector(selector);

/** Make an element: attributes by name, children as elements or text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function say(place, text, kind = "") {
  if (place.textContent !== text) place.textContent = text;
  place.dataset.kind = kind;
}

export function fill(list, pairs) {
  list.replaceChildren(...pairs.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));
}

/** A thumbnail that opens the picture in full size. */
export function thumbnail(address, name, small = `${address}?size=320`) {
  const image = element("img", { src: small, alt: name, loading: "lazy" });
  const button = element("button", { type: "button", class: "thumbnail", "aria-label": `Show ${name}` }, image);
  button.addEventListener("click", () => view(address, name));
  return element("li", {}, button);
}

function view(address, name) {
  const viewer = one("#viewer");
  const image = one("img", viewer);
  image.src = address;
  image.alt = name;
  const link = one("a", viewer);
  link.href = address;
  link.download = name;
  viewer.showModal();
}

/** While `work` runs, the form cannot be sent again; what goes wrong is said at `place`. */
export async function busy(form, place, work) {
  const button = one("button:not([type=button])", form);
  button.disabled = true;
  try {
    return await work();
  } catch (error) {
    say(place, error.message, "error");
    return undefined;
  } finally {
    button.disabled = false;
  }
}
