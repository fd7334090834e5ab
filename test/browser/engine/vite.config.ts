/**
 * Builds the page in which engines are tested. In it, suites that import Vitest
 * get `suite.ts`, and that one gets the real `expect`.
 */
import path from "node:path";
import { fileURLToPath } from "node:url";

const suite = path.join(import.meta.dirname, "suite.ts");

const suitesInAPage = {
  name: "suites-in-a-page",
  enforce: "pre",
  resolveId: (id: string, importer?: string) => {
    if (id !== "vitest") return null;
    return importer === suite ? fileURLToPath(import.meta.resolve("vitest")) : suite;
  },
} as const;

export default {
  root: import.meta.dirname,
  base: "./",
  plugins: [suitesInAPage],
  worker: {
    format: "es",
    plugins: () => [suitesInAPage],
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  build: {
    target: "es2024",
    modulePreload: false,
    minify: false,
    chunkSizeWarningLimit: 10_000,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
};
