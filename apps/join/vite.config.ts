/**
 * Builds the page that joins. onnxruntime-web comes without its WebAssembly: the
 * server has those files in the package already, and offers them under `ort/`.
 */
import path from "node:path";
import { defineConfig } from "vite";

const here = import.meta.dirname;

export default defineConfig({
  root: here,
  // The page may be served under any path.
  base: "./",
  resolve: {
    // The page sees the library as its users do: through the entry point.
    alias: [{ find: /^edgeloom\/browser$/, replacement: path.join(here, "../../src/browser.ts") }],
    conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import", "default"],
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es", rolldownOptions: { checks: { pluginTimings: false } } },
  build: {
    outDir: path.join(here, "../../dist/join"),
    emptyOutDir: true,
    target: "es2023",
    // Browsers that know light-dark(): no need to write every colour twice.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
});
