#!/usr/bin/env node
// Starts the command line on Node.js 24. Run by an older Node.js, it hands over to
// the Node.js 24 that Edgeloom depends on; scripts of this package already use that one.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const oldest = 24;
const entry = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

if (!existsSync(entry)) {
  console.error("error: Edgeloom is not built yet: run npm run setup");
  process.exit(2);
}
if (Number.parseInt(process.versions.node, 10) >= oldest) {
  process.argv[1] = entry;
  await import(new URL("../dist/cli/main.js", import.meta.url).href);
} else {
  const name = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
  let node;
  try {
    const suffix = process.platform === "win32" ? "node.exe" : "node";
    node = createRequire(import.meta.url).resolve(`${name}/bin/${suffix}`);
  } catch {
    console.error(
      `error: Edgeloom needs Node.js ${oldest}, this is ${process.version}, and there is no package ${name}: ` +
        `install Node.js ${oldest} or newer`,
    );
    process.exit(2);
  }
  const child = spawn(node, [entry, ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
}
