/** A page without scripts and without anything from elsewhere, so that it can be mailed; light and dark as its reader has it. */
export interface PageParts {
  readonly title: string;
  /** HTML. */
  readonly body: string;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #14202b; --soft: #5b6c7c; --paper: #f6f8fa; --card: #fff; --rule: #dde4ea; --bar: #9db4c8; --own: #d6453d; --limit: #2f7d57;
  --a: #2f6fb7; --b: #d98218; --c: #2f8f6b; --d: #8a5cc2; --e: #c2456d; --band: #2f6fb722; --warn: #9a5b00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #93a4b5; --paper: #0d1319; --card: #151d26; --rule: #263340; --bar: #4b6276; --own: #ff7468; --limit: #55b585;
  --a: #6aa9ee; --b: #f0a94a; --c: #56c596; --d: #b592ea; --e: #ef7fa3; --band: #6aa9ee26; --warn: #f0b45c } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 2.2rem 1.2rem 3rem; font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; letter-spacing: -.01em } h2 { font-size: 1.05rem; margin: 0 0 .2rem }
p { margin: .2rem 0 .8rem; max-width: 76ch } .soft, figcaption, .note { color: var(--soft) }
section, figure { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1.1rem 1.2rem; margin: 0 0 1rem; min-width: 0 }
figcaption { font-size: .87rem; margin-top: .4rem; max-width: 90ch } figure p { color: var(--soft); font-size: .92rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: .8rem; margin: 1.2rem 0 1rem }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: .8rem 1rem } .tile b { display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums }
.tile span { color: var(--soft); font-size: .85rem } .tile.main { border-color: var(--own) } .tile.main b { color: var(--own) }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 1rem } .pair > * { margin: 0 }
.pair { margin-bottom: 1rem }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums } svg text { fill: var(--ink) } svg text.soft { fill: var(--soft) } svg .rule { stroke: var(--rule) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; width: 100% }
td, th { text-align: right; padding: .28rem .7rem; border-bottom: 1px solid var(--rule); white-space: nowrap } td:first-child, th:first-child { text-align: left; padding-left: 0; white-space: normal } th { color: var(--soft); font-weight: 500 }
code { font: .88em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere } .warn { color: var(--warn) }
@media print { body { background: none; padding: 0 } section, figure, .tile { break-inside: avoid } }
`;

export function page({ title, body }: PageParts): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
${body}
</html>
`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

/** A table whose first column is text and whose others are numbers. Cells are text, not HTML. */
export function htmlTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (kind: "td" | "th", row: readonly string[]): string =>
    `<tr>${row.map((cell) => `<${kind}>${escapeHtml(cell)}</${kind}>`).join("")}</tr>`;
  return `<div class="scroll"><table>${cells("th", columns)}${rows.map((row) => cells("td", row)).join("")}</table></div>`;
}

export interface Tile {
  readonly value: string;
  readonly label: string;
  readonly main?: boolean;
}

export function tiles(all: readonly Tile[]): string {
  const one = ({ value, label, main }: Tile): string =>
    `<div class="tile${main === true ? " main" : ""}"><b>${escapeHtml(value)}</b><span>${escapeHtml(label)}</span></div>`;
  return `<div class="tiles">${all.map(one).join("")}</div>`;
}

/** A chart under its title, with what it says and how to read it. */
export function figure(title: string, lead: string, svg: string, caption: string): string {
  return `<figure><h2>${escapeHtml(title)}</h2><p>${escapeHtml(lead)}</p>${svg}<figcaption>${escapeHtml(caption)}</figcaption></figure>`;
}
