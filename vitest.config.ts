/**
 * Projects, run one after the other: tests that only compute (beside the
 * sources, and everything in virtual time), then real models on the native engine, then tests
 * that start real processes and sockets, then those that drive a real browser, then tests of the
 * package as it is published. All but the first run one file at a time, so that
 * they do not steal each other's cores, and on a fresh `dist`.
 */
import path from "node:path";
import { defineConfig } from "vitest/config";

/** Benchmarks import the package by its name; their tests run on the sources. */
const sourceOf = (name: string): string => path.join(import.meta.dirname, "src", name);

const modelTests = "test/models/**/*.test.ts";
const processTests = "test/nodejs/**/*.test.ts";
const browserTests = "test/browser/**/*.test.ts";
const packageTests = "test/package/**/*.test.ts";

export default defineConfig({
  test: {
    projects: [
      {
        resolve: {
          alias: [
            { find: /^edgeloom$/, replacement: sourceOf("nodejs.ts") },
            { find: /^edgeloom\/sim$/, replacement: sourceOf("sim.ts") },
          ],
        },
        test: {
          name: "core",
          include: ["src/**/*.test.ts", "test/**/*.test.ts"],
          exclude: [modelTests, processTests, browserTests, packageTests],
          pool: "forks",
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      // Its vite.config.ts says how the page finds the library.
      {
        extends: "apps/dashboard/vite.config.ts",
        root: "apps/dashboard",
        test: { name: "page", pool: "forks", sequence: { groupOrder: 0 } },
      },
      {
        test: {
          name: "models",
          include: [modelTests],
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "processes",
          include: [processTests],
          globalSetup: "scripts/setup.ts",
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 180_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "browser",
          include: [browserTests],
          globalSetup: ["scripts/setup.ts", "scripts/chromium.ts"],
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 60_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: "package",
          include: [packageTests],
          globalSetup: "scripts/setup.ts",
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
