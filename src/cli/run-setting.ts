/** How a run was begun, written into its journal so that it can be resumed in the same way. */
import * as z from "zod/mini";
import { InputError } from "../index.ts";
import type { RunFolder } from "../nodejs.ts";

const shared = {
  /** Folder that paths in the job are relative to. */
  jobFolder: z.string(),
  /** Unix time in milliseconds from which the run's time counts. */
  startedAt: z.number(),
};

const setting = z.discriminatedUnion("command", [
  z.object({
    ...shared,
    command: z.literal("serve"),
    /** Null where its process ended before it listened. */
    port: z.nullable(z.number()),
    tokenDays: z.number(),
    patienceMs: z.number(),
    /** Absent in runs of older versions: a whole core. */
    duty: z.optional(z.number()),
    /** Whether the training data are in the server's process. */
    hasData: z.optional(z.boolean()),
    /** Absent in runs of older versions, which did not. */
    announce: z.optional(z.boolean()),
    reach: z.object({
      host: z.optional(z.string()),
      names: z.optional(z.array(z.string())),
      cert: z.optional(z.string()),
      key: z.optional(z.string()),
      state: z.optional(z.string()),
    }),
  }),
  z.object({ ...shared, command: z.literal("train"), threads: z.number() }),
]);

/** How a run was begun. */
export type RunSetting = z.infer<typeof setting>;

/** Writes down how a run is begun. */
export const keepSetting = ({ journal }: RunFolder, value: RunSetting): void => journal.set(value);

/** @throws InputError where the run was not begun by `edgeloom serve` or `edgeloom train` */
export function settingOf({ journal, path }: RunFolder): RunSetting {
  const read = setting.safeParse(journal.setting);
  if (read.success) return read.data;
  throw new InputError({
    what: "run",
    received: `${path}, which does not say how it was begun`,
    allowed: "a run that edgeloom serve, train or demo has begun",
  });
}
