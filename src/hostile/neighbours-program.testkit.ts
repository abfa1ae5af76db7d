import { Neighbours } from "./neighbours.testkit.js";

// Run by NeighbourProcess: honest clients in a process of their own, so that what attackers compute does not count as lateness.
const [, , url = "", count = "8"] = process.argv;

const honest = await Neighbours.open(url, Number(count));
process.on("message", (ask) => {
  if (ask === "stop") void honest.stop().then(() => process.disconnect());
  else
    honest.caughtUp().then(
      (lateness) => process.send?.({ lateness }),
      (cause: unknown) => process.send?.({ failure: String(cause) }),
    );
});
process.once("disconnect", () => process.exit(0));
process.send?.({ lateness: await honest.caughtUp() });
