/**
 * Builds the page in two forms from the same sources: `index.html` with hashed
 * files for the server, and `report.html`, one file with everything in it, into
 * which the command line writes a run.
 */
import path from "node:path";
import { defineConfig } from "vite";
import { reportFile } from "./report-file.ts";

const here = import.meta.dirname;

export default defineConfig({
  root: here,
  // The page may be served under any path.
  base: "./",
  resolve: {
    // The page sees the library as its users do: through the entry point.
    alias: [{ find: /^edgeloom$/, replacement: path.join(here, "../../src/index.ts") }],
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [reportFile()],
  build: {
    outDir: path.join(here, "../../dist/page"),
    emptyOutDir: true,
    target: "es2023",
    // Browsers that know light-dark(): no need to write every colour twice.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: false,
    assetsInlineLimit: 0,
  },
});
