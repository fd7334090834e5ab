/** Links with which browsers join, and a QR code for a phone's camera. */
import { renderUnicodeCompact } from "uqr";
import type { Serving } from "../nodejs.ts";
import { say } from "./terminal.ts";

/** Prints a link for each device, and the first one as a QR code where a person looks on. */
export function sayJoinLinks({ joinUrls, adminUrl }: Serving, names: readonly string[]): void {
  const width = Math.max(...names.map((name) => name.length));
  say("Or open a link in a browser, one for each device:");
  joinUrls.forEach((url, i) => {
    say(`  ${(names[i] ?? "").padEnd(width)}  ${url}`);
  });
  say(`Codes of these links for phones are on the page, for who may let devices in: ${adminUrl}`);
  const [first] = joinUrls;
  if (first === undefined || !process.stdout.isTTY) return;
  say(`\n${names[0]}:`);
  say(renderUnicodeCompact(first, { border: 2 }));
}
