// What a script makes better: copying, the browser's time zone, parts that live. Pages work without.
"use strict";

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    const label = button.textContent;
    button.textContent = "✓";
    setTimeout(() => { button.textContent = label; }, 1200);
  });
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
if (zone && document.documentElement.dataset.zone !== zone) {
  document.cookie = `postbell_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}

for (const box of document.querySelectorAll("[data-all]")) {
  box.addEventListener("change", () => {
    for (const each of document.getElementsByName(box.dataset.all)) each.checked = box.checked;
  });
}

// An element with data-live="/path" gets the HTML of each server-sent event as its content.
for (const part of document.querySelectorAll("[data-live]")) {
  const stream = new EventSource(part.dataset.live);
  stream.addEventListener("message", (event) => { part.innerHTML = event.data; });
  addEventListener("pagehide", () => stream.close());
}
