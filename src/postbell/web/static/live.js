// Parts of a page with data-part follow what happens: a notice of /live fetches the page anew, and
// the parts that differ are put in place. Nothing happens in a page that nobody looks at.
"use strict";

const PACE_MS = 2500;
let stream = null;
let timer = 0;
let lastAt = 0;

const isBusy = (part) => part.contains(document.activeElement) && document.activeElement !== document.body;

async function refresh() {
  timer = 0;
  lastAt = Date.now();
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (!next || isBusy(part) || next.innerHTML === part.innerHTML) continue;
    const open = [...part.querySelectorAll("details")].map((each) => each.open);
    part.replaceChildren(...next.childNodes);
    part.querySelectorAll("details").forEach((each, at) => { each.open = open[at] || each.open; });
  }
}

function soon() {
  if (timer || document.hidden) return;
  timer = setTimeout(() => refresh().catch(() => {}), Math.max(0, lastAt + PACE_MS - Date.now()));
}

function follow() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (!stream) {
    stream = new EventSource("/live");
    stream.addEventListener("message", soon);
  }
}

if (document.querySelector("[data-part]") && "EventSource" in window) {
  document.addEventListener("visibilitychange", () => { follow(); if (!document.hidden) soon(); });
  addEventListener("pagehide", () => stream?.close());
  follow();
}
