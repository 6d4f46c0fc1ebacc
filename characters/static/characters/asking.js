// What script sends instead of a form.
// Return what the server says; throws an Error with the words for people.
// What is sent to be kept arrives even if the page is left at the same moment; browsers allow that up to 64 kB.
export async function send(form, body, { keepalive = false } = {}) {
  let answer;
  try {
    answer = await fetch(form.action, { method: "POST", body, keepalive, headers: { Accept: "application/json" } });
  } catch {
    throw new Error("Isengard cannot be reached.");
  }
  const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  const told = isJson && !answer.redirected ? await answer.json() : null;
  if (answer.ok && told) return told;
  if (told?.detail) throw new Error(told.detail);
  if (answer.status === 404) throw new Error("It is not there any more.");
  throw new Error(answer.redirected || answer.status === 403 ? "Log in again, as somebody who may." : `Error ${answer.status}.`);
}
