/**
 * Stands in for Vitest in a page, so that suites written for it run there as they
 * are: tests are gathered as the suites are called, and run one after the other.
 * `expect` is Vitest's own. Only what the suites use is there.
 */
import { expect as expectOfVitest } from "vitest";

export const expect = expectOfVitest;

/** What came of one test. */
export interface TestResult {
  readonly name: string;
  /** Why it failed; null where it did not. */
  readonly failure: string | null;
  /** Why it was skipped; null where it ran. */
  readonly skipped: string | null;
  readonly ms: number;
}

type Work = () => unknown;
interface Context {
  skip(reason: string): void;
}

class Skip extends Error {}

interface Group {
  readonly name: string;
  readonly before: Work[];
  readonly afterEach: Work[];
  readonly after: Work[];
  readonly entries: (Group | { readonly test: string; readonly body: (at: Context) => unknown })[];
}

const group = (name: string): Group => ({
  name,
  before: [],
  afterEach: [],
  after: [],
  entries: [],
});

let open = group("");

export function describe(name: string, gather: () => void): void {
  const outer = open;
  open = group(name);
  outer.entries.push(open);
  gather();
  open = outer;
}

export const beforeAll = (work: Work): unknown => open.before.push(work);
export const afterEach = (work: Work): unknown => open.afterEach.push(work);
export const afterAll = (work: Work): unknown => open.after.push(work);

export function test(name: string, body: (at: Context) => unknown): void {
  open.entries.push({ test: name, body });
}

/** Rows are lists of arguments; the first stands for "%s" in the name. */
test.each =
  <Row extends readonly unknown[]>(rows: readonly Row[]) =>
  (name: string, body: (...row: Row) => unknown): void => {
    for (const row of rows) test(name.replace("%s", String(row[0])), () => body(...row));
  };

/** Runs what was gathered since the last call. A test that takes longer than `limitMs` has failed. */
export async function runSuites(limitMs: number): Promise<TestResult[]> {
  const results: TestResult[] = [];
  const root = open;
  open = group("");
  await runGroup(root, [], [], limitMs, results);
  return results;
}

async function runGroup(
  { name, before, afterEach, after, entries }: Group,
  outerNames: readonly string[],
  outerAfterEach: readonly Work[],
  limitMs: number,
  results: TestResult[],
): Promise<void> {
  const names = name === "" ? outerNames : [...outerNames, name];
  const eachTime = [...afterEach, ...outerAfterEach];
  for (const work of before) await work();
  for (const entry of entries) {
    if ("entries" in entry) {
      await runGroup(entry, names, eachTime, limitMs, results);
      continue;
    }
    const result = await resultOf([...names, entry.test], async () => {
      await inTime(entry.body({ skip }), limitMs);
      for (const work of eachTime) await inTime(work(), limitMs);
    });
    results.push(result);
  }
  const end = await resultOf([...names, "the end"], async () => {
    for (const work of after) await inTime(work(), limitMs);
  });
  if (end.failure !== null) results.push(end);
}

function skip(reason: string): void {
  throw new Skip(reason);
}

async function resultOf(names: readonly string[], work: () => Promise<void>): Promise<TestResult> {
  const name = names.join(" > ");
  const startedMs = performance.now();
  let [failure, skipped]: (string | null)[] = [null, null];
  try {
    await work();
  } catch (error) {
    if (error instanceof Skip) skipped = error.message;
    else failure = error instanceof Error ? error.message : String(error);
  }
  return {
    name,
    failure: failure ?? null,
    skipped: skipped ?? null,
    ms: performance.now() - startedMs,
  };
}

const inTime = (work: unknown, limitMs: number): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`took longer than ${limitMs} ms`)), limitMs);
    Promise.resolve(work)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
