/**
 * Two projects, run one after the other: tests that only compute (beside the
 * sources, and everything in virtual time), then tests that start real
 * processes and sockets, one file at a time so that they do not steal each
 * other's cores.
 */
import { defineConfig } from "vitest/config";

const processTests = "test/nodejs/**/*.test.ts";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "core",
          include: ["src/**/*.test.ts", "test/**/*.test.ts"],
          exclude: [processTests],
          pool: "forks",
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "processes",
          include: [processTests],
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 180_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
