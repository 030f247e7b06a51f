// The page is whole without this: it only sorts tables, changes the theme, and opens all details for print
(() => {
  const root = document.documentElement, theme = document.getElementById("theme");
  theme.hidden = false;
  theme.onclick = () => {
    const now = root.dataset.theme || (matchMedia("(prefers-color-scheme:dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  };
  const value = (row, place) => {
    const cell = row.cells[place];
    return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
  };
  const compare = (one, other) =>
    typeof one === typeof other ? (one > other) - (one < other) : typeof one === "number" ? -1 : 1;
  for (const head of document.querySelectorAll("table.sort thead th")) {
    const button = document.createElement("button"), place = head.cellIndex;
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const body = head.closest("table").tBodies[0], turn = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", turn < 0 ? "descending" : "ascending");
      body.append(...[...body.rows].sort((one, other) => compare(value(one, place), value(other, place)) * turn));
    };
  }
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of closed) each.open = false; });
})();
