// Single keys that press buttons: those with `data-key`. The review page has its own, as keys queue there.
"use strict";

(() => {
  const areOn = () => { try { return localStorage.getItem("review-keys") !== "off"; } catch { return true; } };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !areOn()) return;
    const key = event.key.toLowerCase();
    const field = event.target.closest("input:not([type=checkbox]), textarea, select");
    // A digit chooses also from within the field for a name, until something is typed there.
    if (field && !("digitsChoose" in field.dataset && !field.value && /^\d$/.test(key))) return;
    const target = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find((each) => !each.disabled && each.offsetParent);
    if (!target) return;
    event.preventDefault();
    if (target.matches("input")) target.focus(); else target.click();
  });
})();
