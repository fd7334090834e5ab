/** What `record.py` recorded, from its files. */
import { readdirSync, readFileSync } from "node:fs";
import type { OperatorCase } from "../contract/operator-cases.ts";

/** The cases in one file. */
export const fixture = <T>(name: string): T[] =>
  JSON.parse(readFileSync(new URL(`fixtures/${name}.json`, import.meta.url), "utf8"));

/** The cases of every family of operators. */
export const operatorCases: readonly OperatorCase[] = readdirSync(
  new URL("fixtures", import.meta.url),
)
  .filter((file) => file.startsWith("operators-"))
  .flatMap((file) => fixture<OperatorCase>(file.replace(".json", "")));
