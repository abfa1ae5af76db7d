import assert from "node:assert/strict";
import { test } from "node:test";
import { type Plot, plotPage } from "./plot.js";

const BARS: Plot = {
  title: "Times",
  kind: "bars",
  x: "phase",
  y: "times",
  places: ["before", "still stalled", "they read again", "back", "after"],
  series: ["a", "b", "c", "d"].map((name) => ({ name, values: [0, 1_000, 1_000, 998, 5] })),
};

interface Box {
  readonly x: number;
  readonly y: number;
  readonly text: string;
}

/** The values that are written at bars and points. */
function labelsOf(page: string): Box[] {
  const all = page.matchAll(/<text x="([\d.]+)" y="([\d.]+)" text-anchor="middle" font-size="11">([^<]+)</g);
  return [...all].map(([, x, y, text = ""]) => ({ x: Number(x), y: Number(y), text }));
}

test("no two values at bars are written over each other", () => {
  const labels = labelsOf(plotPage("t", [], [BARS]));
  assert.equal(labels.length, 20);
  for (const [index, one] of labels.entries())
    for (const other of labels.slice(index + 1)) {
      const width = 3 * (one.text.length + other.text.length);
      const isClear = Math.abs(one.y - other.y) >= 11 || Math.abs(one.x - other.x) >= width;
      assert.ok(isClear, `${JSON.stringify(one)} ${JSON.stringify(other)}`);
    }
});

test("a bar's length is its value, whatever is asked for; a line's axis says that it is logarithmic", () => {
  const heights = (plot: Plot): number[] =>
    [
      ...plotPage("t", [], [plot]).matchAll(
        /height="([\d.]+)" rx="2" fill="var\(--a\)"\/><text x="[\d.]+" y="[\d.]+" text/g,
      ),
    ].map(([, height]) => Number(height));
  const [one = 0, ten = 0] = heights({
    ...BARS,
    isLogarithmic: true,
    places: ["x", "y"],
    series: [{ name: "a", values: [10, 100] }],
  });
  assert.ok(Math.abs(ten / one - 10) < 0.1, `${ten} ${one}`);
  const lines = {
    ...BARS,
    kind: "lines",
    places: ["1", "10"],
    series: [{ name: "a", values: [1, 9] }],
  } as const;
  assert.doesNotMatch(plotPage("t", [], [lines]), /logarithmic/);
  assert.match(plotPage("t", [], [{ ...lines, isLogarithmic: true }]), />times, logarithmic</);
});

test("what a name says is text", () => {
  const page = plotPage(
    "<i>",
    ["<b>"],
    [{ ...BARS, title: "<u>", x: "<s>", places: ["<em>", "b", "c", "d", "e"] }],
  );
  assert.doesNotMatch(page, /<(i|b|u|s|em)>/);
});
