/** Tests that each have a subject of their own, which ends with them however they end. */
import { test } from "vitest";

/** Gives a `test` whose body is handed what `open` opens. */
export function testsOn<T extends { end(): Promise<void> }>(
  open: () => Promise<T>,
): (title: string, body: (at: T, skip: (reason: string) => void) => Promise<void>) => void {
  return (title, body) =>
    test(title, async ({ skip }) => {
      const at = await open();
      try {
        await body(at, skip);
      } finally {
        await at.end();
      }
    });
}
