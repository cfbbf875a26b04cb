// Parts of a page with data-part follow what happens: a notice of /live fetches the page anew, and
// the parts that differ are put in place. Nothing happens in a page that nobody looks at.
// A page that gets no answer says since when: what it shows is as old as that.
"use strict";

const PACE_MS = 2500;
const AGE_MS = 20000;
const ANSWER_MS = 10000;
let stream = null;
let timer = 0;
let lastAt = 0;
let newsAt = Date.now();
const shown = new WeakMap();
for (const part of document.querySelectorAll("[data-part]")) shown.set(part, part.innerHTML);

const PLACES = "a[href], button, summary, [tabindex]";
const FIELDS = "input:not([type=hidden]), select, textarea";

// A part is left alone while somebody points at a row or a chart of it, types or has ticked
// something in it, or marks its text: nothing moves under a hand. The next notice tries again.
function isInUse(part) {
  if (part.querySelector("tr:hover, .chart:hover")) return true;
  if (part.contains(document.activeElement) && document.activeElement.matches(FIELDS)) return true;
  const marked = getSelection();
  if (!marked.isCollapsed && part.contains(marked.anchorNode)) return true;
  return [...part.querySelectorAll("input[type=checkbox]")].some((box) => box.checked !== box.defaultChecked);
}

// Put fresh content in place; what was open stays open, and the keyboard stays where it was.
function replace(part, fresh) {
  const open = [...part.querySelectorAll("details")].map((each) => each.open);
  const focused = [...part.querySelectorAll(PLACES)].indexOf(document.activeElement);
  part.replaceChildren(...fresh.childNodes);
  part.querySelectorAll("details").forEach((each, at) => { each.open = open[at] || each.open; });
  if (focused >= 0) part.querySelectorAll(PLACES)[focused]?.focus({ preventScroll: true });
  part.dispatchEvent(new CustomEvent("postbell:fresh", { bubbles: true }));
}

function tellAge(isOld) {
  const stale = document.getElementById("stale");
  if (stale.hidden !== isOld) return;
  const { language, zone } = stale.dataset;
  stale.querySelector("time").textContent = new Date(newsAt).toLocaleTimeString(language, { timeZone: zone });
  stale.hidden = !isOld;
  document.documentElement.classList.toggle("stale", isOld);
}

async function refresh() {
  timer = 0;
  lastAt = Date.now();
  const answer = await fetch(location.href, {
    headers: { accept: "text/html", "x-postbell-part": "1" },
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  if (!answer.ok || answer.redirected) return tellAge(true);
  newsAt = lastAt;
  tellAge(false);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (next && !isInUse(part) && next.innerHTML !== shown.get(part)) {
      shown.set(part, next.innerHTML);
      replace(part, next);
    }
  }
}

function soon() {
  if (timer || document.hidden) return;
  timer = setTimeout(() => refresh().catch(() => tellAge(true)), Math.max(0, lastAt + PACE_MS - Date.now()));
}

function follow() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (!stream) {
    stream = new EventSource("/live");
    stream.addEventListener("message", soon);
    stream.addEventListener("open", soon); // what came between the page and its stream
    stream.addEventListener("error", soon); // whether it was the stream alone
  }
}

// A page that answers a form is not what its address gives: it stays as it is.
const isAnswer = "answer" in document.documentElement.dataset;
if (!isAnswer && document.querySelector("[data-part]") && "EventSource" in window) {
  document.addEventListener("visibilitychange", () => { follow(); if (!document.hidden) soon(); });
  addEventListener("pagehide", () => stream?.close());
  setInterval(soon, AGE_MS); // "4 s ago" grows old without any news
  follow();
}
