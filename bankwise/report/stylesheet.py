"""The page's style: readable on a phone, on a dark screen and on paper."""

from __future__ import annotations

from bankwise.report.style import DARK, LIGHT, Theme


def _colours(theme: Theme, soft: str) -> str:
    return (
        f":root {{ --paper: {theme.paper}; --ink: {theme.ink}; --muted: {theme.muted}; --line: {theme.grid}; "
        f"--soft: {soft}; --accent: {theme.searched}; }}\n"
    )


_FORM = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 58rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .7rem; border-top: 1px solid var(--line); }
p { margin: .6rem 0; max-width: 46rem; }
.lead { color: var(--muted); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .7rem; margin: 1.2rem 0; }
.card { background: var(--soft); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.45rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span { display: block; color: var(--muted); font-size: .85rem; line-height: 1.35; }
figure { margin: 1.1rem 0; break-inside: avoid; }
figure img { display: block; width: 100%; max-width: 38rem; height: auto; }
figcaption, .note { color: var(--muted); font-size: .87rem; line-height: 1.45; margin: .5rem 0 0; max-width: 42rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .87rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { white-space: normal; vertical-align: bottom; color: var(--muted); font-weight: 600;
  border-bottom: 1.5px solid var(--muted); }
td.text, th.text { text-align: left; }
tr > :first-child { padding-left: 0; }
tr.strong td { font-weight: 650; }
tr.total td { border-top: 1.5px solid var(--muted); font-weight: 600; }
tr.group th { border-bottom: 0; padding-bottom: 0; color: var(--ink); }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1.2rem; align-items: start;
  margin-top: 1.4rem; }
table.settings { width: 100%; }
table.settings td { white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .85em; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem;
  overflow-x: auto; line-height: 1.5; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 34rem) {
  body { padding: 1rem .8rem 3rem; }
  h1 { font-size: 1.35rem; }
  .card b { font-size: 1.25rem; }
  .cards { grid-template-columns: 1fr 1fr; gap: .5rem; }
  table { font-size: .78rem; }
  th, td { padding: .32rem .3rem; }
  td.text:first-child { white-space: normal; }
}
@media print {
  @page { margin: 16mm 14mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; }
  figure img { width: auto; max-width: 12.5cm; max-height: 20cm; }
  .wide, pre { overflow: visible; }
  pre { white-space: pre-wrap; }
  table { font-size: 7.6pt; }
  th, td { padding: .15rem .35rem; }
  tr { break-inside: avoid; }
  .cards { grid-template-columns: repeat(4, 1fr); }
  .card b { font-size: 12.5pt; }
}
"""

STYLE = (
    _colours(LIGHT, "#f5f7f9")
    + "@media screen and (prefers-color-scheme: dark) { "
    + _colours(DARK, "#1d232a").rstrip()
    + " }"
    + _FORM
)
