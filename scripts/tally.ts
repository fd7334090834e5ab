/**
 * A Vitest reporter for `scripts/test.ts`: writes what happened as one JSON
 * object to the file named by EDGELOOM_TALLY. Vitest's own JSON report leaves
 * out why a test was skipped, and a skip without a reason must not pass.
 */
import { writeFileSync } from "node:fs";
import type { Reporter, TestCase, TestModule } from "vitest/node";

export interface Tally {
  readonly passed: number;
  /** Full names of failed tests, of files that could not run, and of unhandled errors. */
  readonly failed: readonly string[];
  /** Skipped tests; `reason` is what the test passed to `context.skip(reason)`. */
  readonly skipped: readonly { readonly name: string; readonly reason: string | null }[];
}

export default class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly { message: string }[]): void {
    let passed = 0;
    const failed: string[] = [];
    const skipped: { name: string; reason: string | null }[] = [];
    for (const module of modules) {
      for (const error of module.errors()) {
        failed.push(`${module.relativeModuleId}: ${error.message}`);
      }
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === "passed") passed++;
        else if (result.state === "skipped") {
          skipped.push({ name: nameOf(test), reason: result.note ?? null });
        } else failed.push(nameOf(test));
      }
      for (const suite of module.children.allSuites()) {
        for (const error of suite.errors()) failed.push(`${suite.fullName}: ${error.message}`);
      }
    }
    for (const error of errors) failed.push(`unhandled error: ${error.message}`);
    const tally: Tally = { passed, failed, skipped };
    writeFileSync(process.env.EDGELOOM_TALLY ?? "tally.json", JSON.stringify(tally));
  }
}

const nameOf = (test: TestCase): string => `${test.module.relativeModuleId} > ${test.fullName}`;
