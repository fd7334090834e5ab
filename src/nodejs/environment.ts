/** With what a run is started: versions and machine, for its records. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Environment } from "../run/metrics/record.ts";

/** Version of this package. */
export const version: string = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  }
).version;

/** @param command the command line that starts the same run again */
export const environment = (command: string, startedAt: Date): Environment => ({
  type: "environment",
  edgeloom: version,
  runtime: `Node.js ${process.versions.node}`,
  platform: `${process.platform} ${process.arch}`,
  cores: availableParallelism(),
  startedAt: startedAt.toISOString(),
  command,
});
