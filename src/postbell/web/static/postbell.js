// What a script makes better: copying, the browser's time zone. Pages work without it.
"use strict";
document.documentElement.classList.add("script");

// Browsers keep the clipboard from pages without TLS; there the old way still works.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden-text";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

const showCopying = (root) => root.querySelectorAll("button.copy").forEach((each) => { each.hidden = false; });
showCopying(document);
document.addEventListener("postbell:fresh", (event) => showCopying(event.target));
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button.copy");
  if (!button) return;
  await copy(button.dataset.copy);
  const label = button.dataset.label ??= button.textContent;
  button.textContent = "✓";
  setTimeout(() => { button.textContent = label; }, 1200);
});

// The chosen place of a row of tabs that is wider than the screen comes into sight.
for (const nav of document.querySelectorAll(".main-nav, .tabs")) {
  const here = nav.querySelector("[aria-current]");
  if (here) nav.scrollLeft = here.offsetLeft + here.offsetWidth - nav.clientWidth + 16;
}

// A form that comes back after signing in again goes on to its page, which only shows it.
document.querySelector("form[data-again]")?.requestSubmit();

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
if (zone && document.documentElement.dataset.zone !== zone) {
  document.cookie = `postbell_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}

for (const box of document.querySelectorAll("[data-all]")) {
  box.addEventListener("change", () => {
    for (const each of document.getElementsByName(box.dataset.all)) each.checked = box.checked;
  });
}
