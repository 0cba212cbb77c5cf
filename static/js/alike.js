// Review, alike: the arrows go from one to the next, what is not chosen is left out, and the bar
// says how many a button decides. All of it is a form that posts without this.
"use strict";
(() => {
  // Out of sight after a while; its key goes on working
  const last = document.getElementById("last-group");
  const fade = () => { if (last.matches(":hover, :focus-within")) setTimeout(fade, 2000); else last.className = "visually-hidden"; };
  if (last) setTimeout(fade, 8000);

  const page = document.getElementById("alike");
  if (!page) return;
  const RENEW_EVERY_MS = 60000;
  const SETTLED_MS = 3000;
  const boxes = [...page.querySelectorAll("[name=chosen]")];
  const bar = page.querySelector(".actionbar");
  const form = document.getElementById("group-form");
  let isLeft = false;

  const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_all, name) => values[name]);

  function count() {
    const chosen = boxes.filter((box) => box.checked).length;
    const shares = { chosen, count: boxes.length, out: boxes.length - chosen };
    document.getElementById("group-shares").textContent = fill(bar.dataset.shares, shares);
    const main = bar.querySelector("[data-counted]");
    if (main) main.querySelector(".t").textContent = fill(main.dataset.counted, { count: chosen });
    for (const button of bar.querySelectorAll("[name=ruling]")) button.disabled = chosen === 0;
  }

  // How many stand in a row depends on the width
  function columns() {
    const top = boxes[0].closest("li").offsetTop;
    const second = boxes.findIndex((box) => box.closest("li").offsetTop !== top);
    return second < 1 ? boxes.length : second;
  }

  document.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
    const step = steps[event.key];
    const isElsewhere = event.target.closest("input:not([type=checkbox]), textarea, select, details[open], dialog");
    if (!step || isElsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = boxes.indexOf(document.activeElement);
    const next = at < 0 ? boxes[0] : boxes[at + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.closest("li").scrollIntoView({ block: "nearest" });
  });

  page.addEventListener("change", (event) => { if (event.target.matches("[name=chosen]")) count(); });
  // A name that was typed and left must not be sent by another button
  page.addEventListener("toggle", (event) => { if (!event.target.open) event.target.querySelector("[name=name]").value = ""; }, true);

  function mine() {
    const body = new FormData();
    for (const box of boxes) body.append("sample", box.value.split(":")[0]);
    body.set("csrfmiddlewaretoken", form.querySelector("[name=csrfmiddlewaretoken]").value);
    return body;
  }
  const renew = () => { if (!document.hidden) fetch(page.dataset.renew, { method: "POST", body: mine() }).catch(() => null); };
  setInterval(renew, RENEW_EVERY_MS);
  setTimeout(renew, SETTLED_MS); // a page that was left may have released them a moment after
  // Sent once, however often a key is pressed; what is sent needs the leases
  document.addEventListener("submit", (event) => {
    if (isLeft) event.preventDefault();
    isLeft = true;
  });
  window.addEventListener("pagehide", () => { if (!isLeft) navigator.sendBeacon(page.dataset.leave, mine()); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  count();
  document.querySelector("[data-card-title]").focus({ preventScroll: true });
})();
