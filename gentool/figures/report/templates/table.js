"use strict";
/* Sort and filter the table of networks, and open the part of the page that a link leads to. */

const table = document.getElementById("networks");
const body = table.tBodies[0];
const heads = [...table.tHead.rows[0].cells];
const names = heads.map((head) => head.textContent);
const search = document.getElementById("search");
const status = document.getElementById("status");

/* Return a number without the noise of its last digits: 0.1 + 0.2 is 0.3. */
function rounded(text) {
  return Number(Number(text).toPrecision(12));
}

/* What is compared: ranks order a column, numbers and texts are filtered. No rank: no value. */
let rows = [...body.rows].map((row) => {
  const cells = [...row.cells];
  const texts = cells.map((cell) => cell.textContent);
  return {
    row,
    texts: texts.map((text) => text.toLowerCase()),
    ranks: cells.map((cell) => (cell.dataset.r === undefined ? null : Number(cell.dataset.r))),
    numbers: cells.map((cell, i) => rounded(cell.dataset.v ?? texts[i])),
    all: texts.join("\n").toLowerCase(),
  };
});
let order = "";

function sortBy(column) {
  const isDown = heads[column].getAttribute("aria-sort") === "ascending";
  const sign = isDown ? -1 : 1;
  rows.sort((one, other) => {
    const [a, b] = [one.ranks[column], other.ranks[column]];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (a - b);
  });
  const sorted = document.createDocumentFragment();
  for (const { row } of rows) sorted.append(row);
  body.append(sorted);
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", isDown ? "descending" : "ascending");
  order = `, sorted by ${names[column]}, ${isDown ? "largest" : "smallest"} first`;
  tell();
}

const RELATIONS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

/* Return a test of a row for what was typed into the field of a column; null if it is malformed. */
function testOf(column, typed) {
  const isNumber = heads[column].dataset.kind === "number";
  const [, relation, rest] = /^(<=|>=|!=|<|>|=)?(.*)$/s.exec(typed);
  const wanted = rest.trim();
  if (!isNumber) {
    if (relation === "=") return ({ texts }) => texts[column].trim() === wanted;
    if (relation === "!=") return ({ texts }) => texts[column].trim() !== wanted;
    return ({ texts }) => texts[column].includes(typed);
  }
  const ends = wanted.split("..").map((text) => (text.trim() === "" ? NaN : rounded(text)));
  if (ends.length > 2 || ends.some(Number.isNaN) || (relation && ends.length > 1)) return null;
  const has = ({ ranks }) => ranks[column] !== null;
  if (ends.length === 2) {
    return (row) => has(row) && row.numbers[column] >= ends[0] && row.numbers[column] <= ends[1];
  }
  if (relation) return (row) => has(row) && RELATIONS[relation](row.numbers[column], ends[0]);
  return (row) => has(row) && (row.numbers[column] === ends[0] || row.texts[column] === wanted);
}

const filters = heads.map((head, column) => {
  const input = document.createElement("input");
  input.type = "search";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.size = 6;
  input.setAttribute("aria-label", `Filter ${names[column]}`);
  input.setAttribute("aria-describedby", "hint");
  input.addEventListener("input", filter);
  return input;
});

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const tests = [];
  for (const [column, input] of filters.entries()) {
    const typed = input.value.trim().toLowerCase();
    const test = typed === "" ? undefined : testOf(column, typed);
    if (test) tests.push(test);
    if (test === null) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
  for (const each of rows) {
    const isShown =
      words.every((word) => each.all.includes(word)) && tests.every((test) => test(each));
    each.row.hidden = !isShown;
  }
  tell();
}

function tell() {
  const shown = rows.filter(({ row }) => !row.hidden).length;
  const wrong = names.filter((_, i) => filters[i].hasAttribute("aria-invalid"));
  const ignored = wrong.map((name) => `; the filter of ${name} is not a number, and is ignored`);
  const count = shown === rows.length ? `${shown}` : `${shown} of ${rows.length}`;
  const noun = rows.length === 1 ? "network" : "networks";
  status.textContent = `${count} ${noun}${order}${ignored.join("")}.`;
}

/* Open the part that a link leads to, which is closed at first. */
function open() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const details = target && target.closest("details");
  if (details && !details.open) {
    details.open = true;
    target.scrollIntoView();
  }
}

for (const [column, head] of heads.entries()) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sortBy(column));
  head.append(button);
}
const fields = table.tHead.insertRow();
fields.className = "filters";
for (const input of filters) fields.insertCell().append(input);
search.addEventListener("input", filter);
document.getElementById("clear").addEventListener("click", () => {
  for (const input of [search, ...filters]) input.value = "";
  filter();
  search.focus();
});
document.getElementById("controls").hidden = false;
addEventListener("hashchange", open);
open();
