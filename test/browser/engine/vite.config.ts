/**
 * Builds the page in which engines are tested. In it, suites that import Vitest
 * get `suite.ts`, and that one gets the real `expect`.
 */
import path from "node:path";
import { fileURLToPath } from "node:url";

const suite = path.join(import.meta.dirname, "suite.ts");

export default {
  root: import.meta.dirname,
  base: "./",
  plugins: [
    {
      name: "suites-in-a-page",
      enforce: "pre",
      resolveId: (id: string, importer?: string) => {
        if (id !== "vitest") return null;
        return importer === suite ? fileURLToPath(import.meta.resolve("vitest")) : suite;
      },
    },
  ],
  worker: { format: "es" },
  build: { target: "es2024", modulePreload: false, minify: false, chunkSizeWarningLimit: 10_000 },
};
