// <button data-copy="#field" data-copied="Copied">: copies the field's text and says so.
"use strict";
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.querySelector(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // no clipboard without HTTPS
  }
  button.textContent = button.dataset.copied;
});
