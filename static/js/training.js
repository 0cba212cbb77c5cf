// Tells too many files before they are sent, where the server would refuse the whole form.
"use strict";
document.querySelectorAll("form[data-most-files]").forEach((form) => {
  const input = form.querySelector("input[type=file]");
  input.addEventListener("change", () => {
    const tooMany = input.files.length > Number(form.dataset.mostFiles);
    input.setCustomValidity(tooMany ? form.dataset.tooMany : "");
    if (tooMany) input.reportValidity();
  });
  form.addEventListener("submit", (event) => {
    if (input.reportValidity()) return;
    event.preventDefault();
  });
});
