/**
 * The repository's habits: tables of what is allowed, and one function per rule
 * that lists what breaks it. Change the tables where the code teaches better,
 * and say why in ARCHITECTURE.md. `tidy.test.ts` applies them.
 */
import path from "node:path";
import type { Source } from "./sources.ts";

/**
 * What a folder of src may import: folders, single files of other folders, and
 * packages. The longest matching entry holds; a folder may always import itself.
 */
const importTable: Readonly<Record<string, readonly string[]>> = {
  base: [],
  compile: ["base", "@bufbuild/protobuf"],
  models: ["base", "compile"],
  data: ["base"],
  codec: ["base", "compile"],
  sync: ["base"],
  audit: ["base"],
  // Costs, sizes and the kinds of programs, never operators or graphs.
  plan: ["base", "compile/segment.ts", "compile/program.ts", "codec", "sync"],
  // Of the built-in models jobs know names, losses and options; their layers stay with who makes them.
  run: [
    "base",
    "compile",
    "models/catalog.ts",
    "models/options.ts",
    "codec",
    "sync",
    "plan",
    "zod",
  ],
  // Coordinator and worker share messages, never each other's code.
  "run/coordinator": ["base", "compile", "codec", "sync", "plan", "run", "zod", "!run/worker"],
  "run/worker": ["base", "compile", "codec", "sync", "plan", "run", "!run/coordinator"],
  // What engines on ONNX Runtime share, whichever build of it they drive.
  engine: ["base", "compile", "run/host.ts"],
  sim: ["base", "compile", "models", "data", "codec", "sync", "plan", "run", "zod"],
  // Composition and platform only, no decisions: it reads files (models, images), moves bytes, and
  // lets the simulator say what a plan would come to.
  nodejs: [
    "base",
    "compile",
    // What crosses a cut is what the link's codec lets through.
    "codec/link-codec.ts",
    "audit",
    "models",
    "data",
    "engine",
    "plan/plan.ts",
    "run",
    "sim",
    "node:*",
    "jpeg-js",
    "multicast-dns",
    "onnxruntime-node",
    "pngjs",
    "jose",
    "@peculiar/x509",
    "reflect-metadata",
    "@opentelemetry/exporter-prometheus",
    "@opentelemetry/sdk-metrics",
    "sirv",
    "zod",
    "ws",
  ],
  browser: ["base", "compile", "data", "engine", "run", "onnxruntime-web"],
  cli: ["*"],
};

/** The only files that may hand on what other files export: the package's entry points. */
const entryPoints = ["src/index.ts", "src/sim.ts", "src/nodejs.ts", "src/browser.ts"];

/** Folders outside src that see the library as its users do. */
const publicOnly = ["apps/", "bench/", "examples/"];

/** What they may use all the same: the links themselves have no entry point, nor has what draws plots. */
const publicToo = [
  "src/cli/svg.ts",
  "src/nodejs/host.ts",
  "src/nodejs/link.ts",
  "src/run/host.ts",
  "src/run/wire/channel.ts",
  "src/run/wire/frame.ts",
  "src/run/wire/messages.ts",
];

/** Edges that close a cycle of types and are meant to. */
export const typeCycles = [
  {
    from: "src/compile/graph.ts",
    to: "src/compile/ops/table.ts",
    reason:
      "the operators that a node may name are the keys of the table, so none can be forgotten",
  },
  {
    from: "src/compile/ops/rule.ts",
    to: "src/compile/ops/table.ts",
    reason: "a rule may emit only operators that the table has",
  },
];

interface Ban {
  /** Folders or files that the ban covers. */
  readonly where: readonly string[];
  readonly name: RegExp;
  readonly instead: string;
}

const core = [
  ...["base", "compile", "models", "data", "codec", "sync", "audit", "plan", "run", "engine"],
  "sim",
];
const coreFolders = core.map((folder) => `src/${folder}/`);

/** Names that code may not use. Platform globals in the core are type errors already. */
const bannedNames: readonly Ban[] = [
  { where: coreFolders, name: /^Date\.now$|^new Date$/, instead: "host.now()" },
  { where: coreFolders, name: /^Math\.random$/, instead: "host.random, or a seeded random(seed)" },
  { where: coreFolders, name: /^performance\./, instead: "host.now()" },
  {
    where: ["src/run/", "src/sim/"],
    name: /^(setTimeout|setInterval|setImmediate|queueMicrotask)\(\)$/,
    instead: "host.after()",
  },
  {
    where: ["src/run/", "src/sim/"],
    name: /^(await|async)$|\.then$/,
    instead: "a callback: peers are synchronous state machines (DESIGN section 4)",
  },
  {
    where: ["src/"],
    name: /^process\.exit$/,
    instead: "process.exitCode, so that output is flushed",
  },
];

/** Files that may use banned names after all, each with its reason. Stale entries fail. */
export const nameExceptions: readonly { file: string; names: readonly string[]; reason: string }[] =
  [
    {
      file: "src/sim/world.ts",
      names: [".then", "async", "await"],
      reason: "the driver: awaits a result already under way when its virtual time has come",
    },
    {
      file: "src/sim/simulate.ts",
      names: ["async", "await"],
      reason: "starts the driver and the replay, and hands on their end",
    },
    {
      file: "src/sim/host.ts",
      names: [".then"],
      reason: "turns an engine's promises into completions that the driver awaits",
    },
    {
      file: "src/sim/replay.ts",
      names: ["async", "await"],
      reason: "the single-process replay has no peers: it waits for one engine, step after step",
    },
    {
      file: "src/sim/attacks.ts",
      names: [".then"],
      reason:
        "an engine between a simulated worker and the one that computes: engines answer by promises",
    },
    {
      file: "src/sim/replay-exchange.ts",
      names: ["async", "await"],
      reason: "a part of the replay",
    },
    {
      file: "src/sim/replay-member.ts",
      names: ["async", "await"],
      reason: "a part of the replay",
    },
  ];

const isExcepted = (file: string, name: string): boolean =>
  nameExceptions.some((entry) => entry.file === file && entry.names.includes(withoutOwner(name)));

/** "result.then" as ".then": the rule is about the method, whoever owns it. */
export const withoutOwner = (name: string): string => (name.endsWith(".then") ? ".then" : name);

/** Words that say less than the vocabulary does, anywhere in text that we write. */
const bannedWords: readonly { word: RegExp; instead: string }[] = [
  { word: /\b(TODO|FIXME|XXX|HACK)\b/, instead: "doing it, or a limit stated in prose" },
  { word: /\bmini-?batch/i, instead: "batch" },
  { word: /\b(split|partition) point/i, instead: "cut" },
  { word: /\bMbps\b/, instead: "Mbit/s in text, BytesPerMs in names" },
  { word: /@ts-(ignore|nocheck)/, instead: "the right type" },
];

/** Hosts of package registries, and paths that only one machine has. */
const foreignText: readonly { text: RegExp; what: string }[] = [
  {
    text: /\b(registry|npm|pypi|mirror|proxy|artifactory|nexus)\.[a-z0-9-]+\.[a-z]{2,}\b|\bnpm[j]s\./,
    what: "the host of a package registry",
  },
  {
    text: /(?<![\w.~*])\/(work|root|workspace|Users)\/|(?<![\w.~*])\/tmp\/[a-z]/,
    what: "a path of one machine",
  },
];

/**
 * Sizes that were over the limit when they were written down. A size may
 * shrink, and then its entry must follow; it never grows, and nothing is added
 * without a word in the change.
 */
export const functionLinesMax = 70;
export const fileLinesMax = 500;
const longFunctions: Readonly<Record<string, number>> = {};
const longFiles: Readonly<Record<string, number>> = {};

const isTest = (file: string): boolean => file.endsWith(".test.ts");
export const isGenerated = (file: string): boolean => /(^|\/)onnx_pb\./.test(file);
const isUnder = (file: string, folders: readonly string[]): boolean =>
  folders.some((folder) => file.startsWith(folder));

/** Imports that the table does not allow. */
export function importProblems(sources: readonly Source[]): string[] {
  const problems: string[] = [];
  for (const source of sources) {
    for (const { target, local, line } of source.imports) {
      if (mayImport(source.path, target, local)) continue;
      problems.push(`${source.path}:${line} may not import ${target}: see the import table`);
    }
  }
  return problems;
}

function mayImport(from: string, target: string, local: boolean): boolean {
  if (isUnder(from, publicOnly)) {
    return !local || !target.startsWith("src/") || isEntry(target) || publicToo.includes(target);
  }
  if (!from.startsWith("src/") || isEntry(from)) return true;
  // Tests beside sources may use what the test runner's world offers, but keep to the folder's seams.
  if (isTest(from) && (!local || target.startsWith("test/"))) return true;
  const folder = ruleOf(from);
  const allowed = importTable[folder] ?? [];
  const name = local ? target.replace(/^src\//, "") : target;
  const hit = (entry: string) =>
    entry === "*" ||
    name === entry ||
    name.startsWith(`${entry}/`) ||
    (entry.endsWith(":*") && name.startsWith(entry.slice(0, -1)));
  if (allowed.some((entry) => entry.startsWith("!") && hit(entry.slice(1)))) return false;
  return name.startsWith(`${folder}/`) || allowed.some(hit);
}

export const isEntry = (file: string): boolean => entryPoints.includes(file);

/** The entry of the import table that holds for a file: its longest prefix. */
export function ruleOf(file: string): string {
  const folders = path.posix.dirname(file).split("/").slice(1);
  for (let depth = folders.length; depth > 0; depth--) {
    const name = folders.slice(0, depth).join("/");
    if (name in importTable) return name;
  }
  return "";
}

/** Cycles among files, each printed once as the path that closes it. */
export function cycleProblems(sources: readonly Source[]): string[] {
  const edges = new Map<string, string[]>();
  for (const { path: from, imports } of sources) {
    const targets = imports.filter((edge) => edge.local && !isMeantCycle(from, edge));
    edges.set(from, [...new Set(targets.map((edge) => edge.target))]);
  }
  const problems: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): void => {
    const start = trail.indexOf(file);
    if (start >= 0) problems.push(`import cycle: ${[...trail.slice(start), file].join(" -> ")}`);
    if (start >= 0 || done.has(file)) return;
    trail.push(file);
    for (const next of edges.get(file) ?? []) visit(next);
    trail.pop();
    done.add(file);
  };
  for (const file of edges.keys()) visit(file);
  return problems;
}

const isMeantCycle = (from: string, edge: { target: string; typeOnly: boolean }): boolean =>
  edge.typeOnly && typeCycles.some((cycle) => cycle.from === from && cycle.to === edge.target);

export function nameProblems(sources: readonly Source[]): string[] {
  const problems: string[] = [];
  for (const { path: file, uses } of sources) {
    if (isTest(file)) continue;
    for (const { name, line } of uses) {
      const ban = bannedNames.find((rule) => isUnder(file, rule.where) && rule.name.test(name));
      if (ban === undefined || isExcepted(file, name)) continue;
      problems.push(`${file}:${line} uses ${name}; use ${ban.instead}`);
    }
  }
  return problems;
}

/** Re-exports outside the entry points, and index files in folders. */
export function reExportProblems(sources: readonly Source[]): string[] {
  const problems: string[] = [];
  for (const { path: file, imports } of sources) {
    if (isEntry(file)) continue;
    if (path.posix.basename(file) === "index.ts")
      problems.push(`${file}: name the file by content`);
    for (const { target, line } of imports.filter((edge) => edge.reExport)) {
      problems.push(`${file}:${line} hands on ${target}; import it where it is defined`);
    }
  }
  return problems;
}

export function lengthProblems(sources: readonly Source[]): string[] {
  const functions = new Map<string, number>();
  const files = new Map<string, number>();
  for (const { path: file, lines, functions: found } of sources) {
    if (isGenerated(file)) continue;
    if (lines > fileLinesMax) files.set(file, lines);
    // A suite of tests is one function by nature.
    if (isTest(file) || file.startsWith("test/contract/")) continue;
    for (const { name, lines: length } of found) {
      if (length > functionLinesMax) functions.set(`${file} ${name}`, length);
    }
  }
  return [
    ...ratchet(files, longFiles, fileLinesMax, "longFiles"),
    ...ratchet(functions, longFunctions, functionLinesMax, "longFunctions"),
  ];
}

export function ratchet(
  found: ReadonlyMap<string, number>,
  listed: Readonly<Record<string, number>>,
  max: number,
  table: string,
): string[] {
  const problems: string[] = [];
  for (const [what, lines] of found) {
    const limit = listed[what] ?? max;
    if (lines > limit) problems.push(`${what} has ${lines} lines, at most ${limit} allowed`);
  }
  for (const [what, limit] of Object.entries(listed)) {
    const lines = found.get(what);
    if (lines === undefined) problems.push(`${what} is short by now: drop it from ${table}`);
    else if (lines < limit) problems.push(`${what} shrank: write ${lines} into ${table}`);
  }
  return problems;
}

/** Test files that hold no test. A contract suite counts: a function named test… or check…. */
export function emptyTestProblems(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path: file }) => isTest(file))
    .filter(({ calls }) => ![...calls].some((name) => /^(test|it)$|^test[A-Z]/.test(name)))
    .map(({ path: file }) => `${file} holds no test`);
}

export function textProblems(file: string, text: string): string[] {
  const problems: string[] = [];
  // These files spell the words out in order to forbid them.
  if (/^test\/tidy[.-]/.test(file) || isGenerated(file)) return problems;
  const words = file === "package-lock.json" ? [] : bannedWords;
  for (const [i, line] of text.split("\n").entries()) {
    for (const { word, instead } of words) {
      const found = word.exec(line);
      if (found) problems.push(`${file}:${i + 1} says "${found[0]}"; prefer ${instead}`);
    }
    for (const { text: pattern, what } of foreignText) {
      if (pattern.test(line)) problems.push(`${file}:${i + 1} names ${what}: ${line.trim()}`);
    }
  }
  return problems;
}
