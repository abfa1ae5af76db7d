// A reporter of Node's test runner: the test files in which something failed or that did not end in time, a line each.
import { relative } from "node:path";

// biome-ignore lint/style/noDefaultExport: the runner takes a reporter from there.
export default async function* failedFiles(events) {
  const failed = new Set();
  for await (const { type, data } of events) {
    // A file that was ended for its time is itself the test, and its name is the file's.
    if (type === "test:fail") failed.add(data.file ?? data.name);
  }
  for (const file of failed) yield `${relative("", file)}\n`;
}
