// A click on a head sorts the rows by that column; a second click turns the order round.
"use strict";
(() => {
  const body = document.querySelector(".listing tbody");
  const heads = [...document.querySelectorAll(".listing th")];
  const order = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.order === undefined ? cell.textContent.trim() : Number(cell.dataset.order);
  };
  const compared = (one, two) =>
    typeof one === "number" && typeof two === "number"
      ? one - two
      : String(one).localeCompare(String(two), "en", { numeric: true });
  heads.forEach((head, column) => head.querySelector(".sort").addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const rows = [...body.rows];
    rows.sort((one, two) => sign * compared(order(one, column), order(two, column)));
    body.append(...rows);
  }));
  document.documentElement.dataset.ready = "yes";
})();
