// Shows the known categories that have what is typed in one of their names, and counts the chosen.
// Without it, the search is a request, and everything else works as well.
"use strict";
const search = document.querySelector("[data-filters]");
const list = document.getElementById(search.dataset.filters);
const rows = [...list.querySelectorAll("label")];
const counter = document.querySelector("[data-count]");

const plain = (text) => text.normalize("NFKC").toLowerCase().trim();

search.addEventListener("input", () => {
  const wanted = plain(search.value);
  let any = false;
  rows.forEach((row) => {
    row.hidden = !plain(row.dataset.names).includes(wanted);
    any ||= !row.hidden;
  });
  list.querySelector("[data-none]").hidden = any;
});
// All are here already if nothing was searched for before, so a request would only lose the choice
search.form.addEventListener("submit", (event) => {
  if (!new URLSearchParams(location.search).get("search")) event.preventDefault();
});
const count = () => {
  const chosen = list.querySelectorAll("input:checked:enabled").length;
  const form = chosen === 1 ? counter.dataset.one : counter.dataset.many;
  counter.textContent = form.replace("{count}", chosen);
};
list.addEventListener("change", count);
count();
