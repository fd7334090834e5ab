import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const run = promisify(execFile);

/** What each example must print. */
const prints: Readonly<Record<string, RegExp>> = {
  "train-locally.ts": /^finished: (8|9)\d{3} of 10000 right, saved in /m,
};

describe("examples", () => {
  it("are all run here", () => {
    expect(readdirSync("examples").sort()).toEqual(Object.keys(prints).sort());
  });

  it.each(Object.entries(prints))("%s runs and prints what it promises", async (name, expected) => {
    const { stdout, stderr } = await run(process.execPath, [join("examples", name)]);
    expect(stderr).toBe("");
    expect(stdout).toMatch(expected);
  });

  it("in the README is the one that runs", () => {
    const readme = readFileSync("README.md", "utf8");
    const source = readFileSync("examples/train-locally.ts", "utf8");
    const code = source.slice(source.indexOf("import"));
    expect(readme).toContain(`\`\`\`ts\n${code}\`\`\``);
  });
});
