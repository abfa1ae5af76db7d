import assert from "node:assert/strict";
import { test } from "node:test";
import { board } from "./board.js";

test("board: every class of ours and what users write with ws bring the last update of every symbol", {
  timeout: 120_000,
}, async () => {
  const [table] = await board.run([
    ...["--boards=fanwire:10,fanwire:all,ws", "--clients=10", "--symbols=100", "--updates=500"],
    ...["--watch-min=5", "--watch-max=20", "--seconds=0.5", "--rounds=1", "--slow=0.2"],
  ]);
  assert.deepEqual(
    table?.rows.map(([label]) => label),
    ["fanwire, rate 10", "fanwire, rate all", "ws, send for each watcher"],
  );
  const perClient = table?.rows.map((row) => Number(row[6]));
  assert.ok(perClient?.every((updates) => updates > 1));
});

test("what is no board, and markets that cannot be, are refused", async () => {
  await assert.rejects(board.run(["--boards=fanwire:fast"]), /none of fanwire:RATE/);
  await assert.rejects(board.run(["--boards=nobody"]), /none of/);
  await assert.rejects(board.run(["--symbols=10000"]), /1 to 9999/);
  await assert.rejects(board.run(["--watch-min=9", "--watch-max=5"]), /--watch-min/);
});
