"use strict";
const key = (row, column) => row.cells[column].dataset.sort;
const before = (column, sign) => (a, b) => {
  const [x, y] = [key(a, column), key(b, column)];
  if (x === "" || y === "") return (x === "") - (y === "");  // what is missing stands last
  return sign * (x - y);
};
for (const table of document.querySelectorAll("table.cells")) {
  const heads = [...table.tHead.rows[1].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    body.append(...[...body.rows].sort(before(column, sign)));
  }));
}
document.querySelector(".controls").hidden = false;
document.getElementById("paper").addEventListener("change", (event) =>
  document.body.classList.toggle("no-paper", !event.target.checked));
for (const choice of document.getElementsByName("versus"))
  choice.addEventListener("change", () =>
    document.body.classList.toggle("versus-control", choice.value === "control"));
