// What a script makes better: copying, choosing, the browser's time zone. Pages work without it.
"use strict";
document.documentElement.classList.add("script");

for (const choice of document.querySelectorAll("select[data-step]")) {
  choice.addEventListener("change", () => {
    const button = choice.parentElement.querySelector("button[name=step]");
    choice.form.requestSubmit(button);
  });
}

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
