// What a page does beside being read: it says what a mark is, and sorts a table by the column that is clicked.
(() => {
  "use strict";
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const show = (event) => {
    const mark = event.target.closest?.("[data-tip]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = Math.max(8, Math.min(event.pageX + 12, room)) + "px";
    tip.style.top = event.pageY + 14 + "px";
  };
  for (const name of ["pointermove", "pointerdown"]) document.addEventListener(name, show, { passive: true });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  for (const title of document.querySelectorAll(".chart [data-tip] > title, .chart .line > title, .chart .level > title")) title.remove();

  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const order = (a, b) => {
    const [x, y] = [parseFloat(a), parseFloat(b)];
    if (isNaN(x) && isNaN(y)) return a.localeCompare(b);
    if (isNaN(x) || isNaN(y)) return isNaN(x) ? 1 : -1;
    return x - y;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        const empty = (row) => value(row, column).trim() === "";
        rows.sort((a, b) => empty(a) - empty(b) || (down ? -1 : 1) * order(value(a, column), value(b, column)));
        table.tBodies[0].append(...rows);
      });
    });
  }
})();
