/**
 * Applies the rules of `tidy-rules.ts` to the repository, then gives every rule
 * a small tree that breaks it, so that no rule is blind.
 */
import path from "node:path";
import { createVirtualFileSystem } from "typescript/unstable/fs";
import { beforeAll, describe, expect, test } from "vitest";
import { readSources, repositoryFiles, type Source, textOf } from "./sources.ts";
import {
  cycleProblems,
  emptyTestProblems,
  fileLinesMax,
  functionLinesMax,
  importProblems,
  isEntry,
  isGenerated,
  lengthProblems,
  nameExceptions,
  nameProblems,
  ratchet,
  reExportProblems,
  ruleOf,
  textProblems,
  typeCycles,
  withoutOwner,
} from "./tidy-rules.ts";

const root = path.resolve(import.meta.dirname, "..");

describe("the repository", () => {
  let sources: Source[] = [];
  beforeAll(() => {
    const all = [
      ...readSources(root),
      ...readSources(root, undefined, "apps/dashboard/tsconfig.json"),
      ...readSources(root, undefined, "apps/join/tsconfig.json"),
    ];
    sources = all.filter((source) => !isGenerated(source.path));
  }, 60_000);

  test("imports follow the table", () => {
    expect(importProblems(sources)).toEqual([]);
  });

  test("every folder of src is in the import table", () => {
    const inFolders = sources.filter(({ path: file }) => /^src\/.+\//.test(file));
    expect(inFolders.filter(({ path: file }) => ruleOf(file) === "")).toEqual([]);
    const loose = sources.filter(({ path: file }) => /^src\/[^/]+$/.test(file));
    expect(loose.map(({ path: file }) => file).filter((file) => !isEntry(file))).toEqual([]);
  });

  test("files import each other without cycles", () => {
    expect(cycleProblems(sources.filter((source) => source.path.startsWith("src/")))).toEqual([]);
  });

  test("the core knows no clock, chance, timer or waiting of its own", () => {
    expect(nameProblems(sources)).toEqual([]);
  });

  test("only entry points hand on what others export", () => {
    expect(reExportProblems(sources)).toEqual([]);
  });

  test("functions and files stay short", () => {
    expect(lengthProblems(sources)).toEqual([]);
  });

  test("every test file holds a test", () => {
    expect(emptyTestProblems(sources)).toEqual([]);
  });

  test("text keeps to the vocabulary and names no registry and no machine", () => {
    const problems: string[] = [];
    for (const file of repositoryFiles(root)) {
      const text = textOf(root, file);
      if (text !== null) problems.push(...textProblems(file, text));
    }
    expect(problems).toEqual([]);
  });

  test("no exception outlives its cause", () => {
    for (const { from, to } of typeCycles) {
      const source = sources.find((candidate) => candidate.path === from);
      expect(source?.imports.map((edge) => edge.target)).toContain(to);
    }
    for (const { file, names } of nameExceptions) {
      const used = sources.find((candidate) => candidate.path === file)?.uses ?? [];
      expect(used.map((use) => withoutOwner(use.name))).toEqual(expect.arrayContaining([...names]));
    }
  });
});

describe("every rule sees what it forbids", () => {
  const broken = (files: Readonly<Record<string, string>>): Source[] =>
    readSources(
      "/tree",
      createVirtualFileSystem({
        "/tree/tsconfig.json": '{ "compilerOptions": { "noLib": true, "types": [] } }',
        ...Object.fromEntries(
          Object.entries(files).map(([file, text]) => [`/tree/${file}`, `${text}\n`]),
        ),
      }),
    );

  test("an import against the order of the folders, of a package or by a worker thread", () => {
    const sources = broken({
      "src/base/a.ts": 'import type { B } from "../plan/b.ts";\nexport type A = B;',
      "src/plan/b.ts":
        'import { readFileSync } from "node:fs";\nexport type B = typeof readFileSync;',
      "src/plan/c.ts": 'export type C = import("../compile/graph.ts").Graph;',
      "src/run/worker/d.ts": 'import "../coordinator/e.ts";\nimport "../f.ts";',
      "src/nodejs/g.ts":
        'new Worker(new URL("../codec/h.ts", import.meta.url));\nimport("../plan/b.ts");',
      "examples/i.ts": 'import "../src/index.ts";\nimport "../src/base/a.ts";',
    });
    expect(
      importProblems(sources)
        .map((problem) => problem.split(":")[0])
        .sort(),
    ).toEqual([
      "examples/i.ts",
      "src/base/a.ts",
      "src/nodejs/g.ts",
      "src/nodejs/g.ts",
      "src/plan/b.ts",
      "src/plan/c.ts",
      "src/run/worker/d.ts",
    ]);
  });

  test("a cycle", () => {
    const sources = broken({
      "src/base/a.ts": 'import "./b.ts";',
      "src/base/b.ts": 'import type { C } from "./c.ts";\nexport type B = C;',
      "src/base/c.ts": 'import "./a.ts";\nexport type C = 1;',
    });
    expect(cycleProblems(sources)).toEqual([
      "import cycle: src/base/a.ts -> src/base/b.ts -> src/base/c.ts -> src/base/a.ts",
    ]);
  });

  test("time, chance and waiting, but not words in comments and strings", () => {
    const sources = broken({
      "src/run/a.ts": [
        "// await Date.now()",
        'const text = "Math.random()";',
        "export const b = () => Date.now();",
        "export const c = async () => { await text; };",
        "setTimeout(b, 1);",
        "c().then(b);",
        "new Date();",
        "Math.random();",
        "export interface Later { wait(): Promise<null>; then(): void }",
      ].join("\n"),
      "src/nodejs/d.ts": "export const e = async () => { await Date.now(); };",
    });
    expect(nameProblems(sources).map((problem) => problem.split(" ")[0])).toEqual(
      [3, 4, 4, 5, 6, 7, 8].map((line) => `src/run/a.ts:${line}`),
    );
  });

  test("a re-export and an index file", () => {
    const sources = broken({
      "src/base/index.ts": "export const a = 1;",
      "src/base/b.ts": 'export { a } from "./index.ts";',
      "src/index.ts": 'export { a } from "./base/index.ts";',
    });
    expect(reExportProblems(sources)).toHaveLength(2);
  });

  test("a long function and a long file", () => {
    const body = "  void 0;\n".repeat(functionLinesMax - 1);
    const sources = broken({
      "src/base/a.ts": `export function fits() {\n${body.slice(10)}}`,
      "src/base/b.ts": `export const tooLong = () => {\n${body}};`,
      "src/base/c.ts": "\n".repeat(fileLinesMax),
    });
    expect(lengthProblems(sources)).toEqual([
      `src/base/c.ts has ${fileLinesMax + 1} lines, at most ${fileLinesMax} allowed`,
      `src/base/b.ts tooLong has ${functionLinesMax + 1} lines, at most ${functionLinesMax} allowed`,
    ]);
  });

  test("a ratchet that is not tightened", () => {
    expect(ratchet(new Map([["a", 90]]), { a: 80 }, 70, "t")).toHaveLength(1);
    expect(ratchet(new Map([["a", 80]]), { a: 80 }, 70, "t")).toEqual([]);
    expect(ratchet(new Map([["a", 75]]), { a: 80 }, 70, "t")).toHaveLength(1);
    expect(ratchet(new Map(), { a: 80 }, 70, "t")).toHaveLength(1);
  });

  test("a test file without a test", () => {
    const sources = broken({
      "src/base/a.test.ts": 'describe("nothing", () => {});',
      "src/base/b.test.ts": "test.each([1])('one', () => {});",
      "src/base/c.test.ts": "testCodec('float32');",
    });
    expect(emptyTestProblems(sources)).toEqual(["src/base/a.test.ts holds no test"]);
  });

  test("a word, a registry and a path of one machine", () => {
    const bad = [
      "one mini-batch",
      `https://${["registry", "example", "org"].join(".")}/zod`,
      ["", "root", "data"].join("/"),
      ["", "tmp", "torch.json"].join("/"),
    ];
    for (const line of bad) expect(textProblems("README.md", line)).toHaveLength(1);
    for (const line of ["src/work/a.ts", "https://github.com/a/b", "a batch", "/tmp"]) {
      expect(textProblems("README.md", line)).toEqual([]);
    }
  });
});
