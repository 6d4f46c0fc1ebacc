// A client on another origin with nothing but the browser's own means: fetch, EventSource, <input type="file"> and <img>.
"use strict";

const api = new URLSearchParams(location.search).get("api");
const streams = {};

async function send(method, path, options) {
  const answer = await fetch(api + path, { method, ...options });
  const text = await answer.text();
  return {
    status: answer.status,
    body: text && JSON.parse(text),
    correlationId: answer.headers.get("X-Correlation-ID"),
    total: answer.headers.get("X-Total-Count"),
  };
}

function call({ method, path, body, headers = {} }) {
  if (body === null) {
    return send(method, path, { headers });
  }
  return send(method, path, {
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", ...headers },
  });
}

function upload(path) {
  const form = new FormData();
  for (const file of document.querySelector("#photos").files) {
    form.append("files", file);
  }
  return send("POST", path, { body: form });
}

// Reconnecting is left to the browser, and so is stopping: the client never closes a stream itself.
function follow(path) {
  const source = new EventSource(api + path);
  const followed = { source, events: [], errors: 0 };
  source.onerror = () => {
    followed.errors += 1;
  };
  for (const name of ["progress", "preview", "complete"]) {
    source.addEventListener(name, (event) => {
      followed.events.push({ id: event.lastEventId, name, data: JSON.parse(event.data) });
    });
  }
  streams[path] = followed;
}

async function show(path) {
  const picture = new Image();
  picture.src = api + path;
  document.querySelector("#pictures").append(picture);
  await picture.decode();
  return [picture.naturalWidth, picture.naturalHeight];
}

async function fetchSize(path) {
  const answer = await fetch(api + path);
  return (await answer.blob()).size;
}
