"""Tables that sort, filter and download as CSV: a small script of our own, without it they are plain tables."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from emotion_interp.core.markup import fragment, joined

SORTABLE_STYLE = """
.ei-sort { margin: .4rem 0 1rem; }
.ei-sort .ei-tools { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 0 0 6px; font-size: 14px; }
.ei-sort .ei-tools[hidden] { display: none; }
.ei-sort input, .ei-sort .ei-tools button { font: inherit; padding: 4px 8px; border: 1px solid var(--ei-soft); border-radius: 4px; background: var(--ei-ground); color: var(--ei-ink); max-width: 100%; }
.ei-sort .ei-tools button { cursor: pointer; }
.ei-sort .ei-scroll { overflow: auto; max-height: 30rem; }
.ei-sort table { border-collapse: collapse; font-size: 13px; }
.ei-sort th, .ei-sort td { padding: 4px 8px; text-align: left; border-bottom: 1px solid var(--ei-line); white-space: nowrap; }
.ei-sort th { position: sticky; top: 0; background: var(--ei-ground); }
.ei-sort th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 2px 0; cursor: pointer; }
.ei-sort th[aria-sort="ascending"] button::after { content: " ▲"; font-size: 10px; }
.ei-sort th[aria-sort="descending"] button::after { content: " ▼"; font-size: 10px; }
@media print { .ei-sort .ei-scroll { max-height: none; } .ei-sort .ei-tools { display: none; } }
.ei-sort td.n, .ei-sort th.n { text-align: right; font-variant-numeric: tabular-nums; }
"""

# numbers sort as numbers, what is missing comes last either way; a cell that a spreadsheet would take for a formula is
# quoted by an apostrophe
SORTABLE_SCRIPT = """
(() => {
  const cellText = (cell) => cell ? cell.dataset.v ?? cell.textContent.trim() : "";
  const missing = (value) => value === "" || value === "–";
  const order = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const quoted = (value) => {
    const risky = /^[=+@\\t\\r-]/.test(value) && Number.isNaN(Number(value));
    return '"' + (risky ? "'" : "") + value.replaceAll('"', '""') + '"';
  };
  for (const box of document.querySelectorAll(".ei-sort")) {
    const table = box.querySelector("table"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const tools = box.querySelector(".ei-tools"), said = box.querySelector("output");
    const rows = () => [...body.rows];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort"), largest = head.classList.contains("n");
        // numbers: the largest first
        const way = before ? (before === "ascending" ? -1 : 1) : largest ? -1 : 1;
        heads.forEach((other) => other !== head && other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
        const sorted = rows().sort((a, b) => {
          const [x, y] = [cellText(a.cells[column]), cellText(b.cells[column])];
          if (missing(x) || missing(y)) return missing(x) - missing(y);
          return way * order(x, y);
        });
        body.append(...sorted);
      });
    });
    const count = () => { said.textContent = `${rows().filter((row) => !row.hidden).length} of ${rows().length} rows`; };
    tools.querySelector("input").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
      for (const row of rows()) {
        const whole = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => whole.includes(word));
      }
      count();
    });
    tools.querySelector("button").addEventListener("click", () => {
      const lines = [table.tHead.rows[0], ...rows().filter((row) => !row.hidden)];
      const csv = lines.map((row) => [...row.cells].map((cell) => quoted(cellText(cell))).join(",")).join("\\r\\n");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(["\\ufeff" + csv + "\\r\\n"], { type: "text/csv;charset=utf-8" }));
      link.download = box.dataset.file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    count();
    tools.hidden = false;
  }
})();
"""


def sortable_table(
    heads: Sequence[str], rows: Sequence[Sequence[object]], *, label: str, file: str, numeric: Sequence[bool] = ()
) -> Markup:
    """A table that a page with `SORTABLE_STYLE` and `SORTABLE_SCRIPT` can sort, filter and save.

    Args:
        heads: headings.
        rows: cells, escaped unless they are Markup; (value, shown) sorts and is saved by its value.
        label: what the table shows, for screen readers.
        file: name of the CSV file.
        numeric: which columns are numbers.

    Example:
        >>> "&lt;b&gt;" in sortable_table(["name"], [["<b>"]], label="names", file="names.csv")
        True
    """
    kinds = ["n" if k < len(numeric) and numeric[k] else "" for k in range(len(heads))]
    head = joined(fragment('<th scope="col" class="{}">{}</th>', k, h) for k, h in zip(kinds, heads, strict=True))
    body = joined(fragment("<tr>{}</tr>", joined(map(_cell, kinds, row))) for row in rows)
    return fragment(
        '<div class="ei-sort" data-file="{}"><div class="ei-tools" hidden><label>Filter <input type="search" '
        'autocomplete="off"></label><button type="button">Download CSV</button><output></output></div>'
        '<div class="ei-scroll" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div></div>",
        *(file, label, head, body),
    )


def _cell(kind: str, content: object) -> Markup:
    if isinstance(content, tuple):
        return fragment('<td class="{}" data-v="{}">{}</td>', kind, *content)
    return fragment('<td class="{}">{}</td>', kind, content)
