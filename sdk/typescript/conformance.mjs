// The conformance program in Node, and what is looked at inside the package.
import { PATIENCE } from "venue-sdk";
import { kept } from "./dist/streams.js";
import { conformance } from "./program.mjs";

// A server that goes says how long the next stream waits; these are two of one that says a quarter of a second.
const opened = [];
const going = { position: "", frame: { case: "goodbye", value: { resumeAfter: "", retryAfter: { seconds: 0n, nanos: 250_000_000 } } } };
const goes = async function* () {
  opened.push(performance.now());
  yield going;
};
const leaving = new AbortController();
for await (const _ of kept(goes, { position: "", take: () => [going] }, undefined, undefined, PATIENCE, leaving.signal)) {
  if (opened.length === 2) break;
}
leaving.abort();
if (opened[1] - opened[0] < 245) throw new Error(`the next stream came after ${opened[1] - opened[0]} ms`);

const { VENUE_URL, VENUE_EMAIL, VENUE_PASSWORD } = process.env;
process.stdout.write(`${JSON.stringify(await conformance(VENUE_URL, VENUE_EMAIL, VENUE_PASSWORD))}\n`);
