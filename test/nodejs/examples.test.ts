import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";

const run = promisify(execFile);

/** What each example must print. */
const prints: Readonly<Record<string, RegExp>> = {
  "audit-and-plan.ts":
    /^(cut \d+, after \w+: R² 0\.\d\d, \d+ % of labels\n){4}least cut 8: .*\ngateway keeps .*\nphone keeps .*\n$/,
  "custom-data-and-model.ts":
    /^finished: 1218 parameters answer (9[5-9]|100)\.\d % of new points right$/m,
  "dcgan-alternating.ts": /^(step \d+: discriminator \d\.\d{3}, generator \d\.\d{3}\n){4}$/,
  "exchange-by-fragments.ts":
    /^all at once: .*\nby fragments: .*, by 4 fragments, each of .*\na round: \d+\.\d s all at once, [1-9]\d? % less by fragments\n$/,
  "own-texts.ts":
    /^finished: \d+ sentences stayed on the phone,\n[\d.]+ MB of features left it,\n([6-9]\d|100) % of other sentences are told apart$/m,
  "plan-and-simulate.ts":
    /^gateway keeps .*\nphone keeps .*\nwatch keeps .*\npredicted round: .* m?s\nas planned: finished, 12 rounds in .* up, .* down\nthe watch dies: finished, 12 rounds in .* up, .* down\n$/,
  "train-locally.ts": /^finished: (8|9)\d{3} of 10000 right, saved in runs\/digits-\d+$/m,
};

/** Where they run, so that what they save is not left in the repository. */
const folder = mkdtempSync(join(tmpdir(), "edgeloom-examples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("examples", () => {
  it("are all run here", () => {
    const programs = readdirSync("examples").filter((file) => file.endsWith(".ts"));
    expect(programs.sort()).toEqual(Object.keys(prints).sort());
  });

  it.each(Object.entries(prints))("%s runs and prints what it promises", async (name, expected) => {
    const path = resolve("examples", name);
    const { stdout, stderr } = await run(process.execPath, [path], { cwd: folder });
    expect(stderr).toBe("");
    expect(stdout).toMatch(expected);
  });

  it("in the README is the one that runs", () => {
    const readme = readFileSync("README.md", "utf8");
    const source = readFileSync("examples/train-locally.ts", "utf8");
    const code = source.slice(source.indexOf("import"));
    // Not `expect(readme)`: a failure would print all of it.
    expect(readme.includes(`\`\`\`ts\n${code}\`\`\``)).toBe(true);
  });

  it("in docs/library.md run one after the other", async () => {
    const sections = readFileSync("docs/library.md", "utf8").split(/^## /m).slice(1);
    const imports = new Set<string>();
    const bodies = sections.map((section) => {
      const code = [...section.matchAll(/^```ts\n(.*?)^```/gms)].map(([, text]) => text).join("");
      const importLine = /^import \{ (.*) \} from (".*");\n/gm;
      for (const [, names = "", from] of code.matchAll(importLine)) {
        for (const name of names.split(", ")) imports.add(`import { ${name} } from ${from};`);
      }
      return `{\n${code.replace(importLine, "")}}`;
    });
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(resolve("."), join(folder, "node_modules/edgeloom"), "junction");
    writeFileSync(join(folder, "library.ts"), [...imports, ...bodies].join("\n"));
    const { stdout, stderr } = await run(process.execPath, ["library.ts"], { cwd: folder });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^finished 0\.\d+\n0 [\d.]+\n.*\nphone .*\n[\d.]+ 5 \d+\n$/s);
  });
});
