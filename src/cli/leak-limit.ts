/** `edgeloom plan --audit FILE --leak-max R2`: a written audit as a floor under a job's cuts. */
import { readFileSync } from "node:fs";
import * as z from "zod/mini";
import { InputError, type Job, type LeakFloor, leakFloor, messageOf } from "../index.ts";

/** What a floor is made of; the file holds more. */
const auditSchema = z.object({
  model: z.string(),
  codec: z.string(),
  cuts: z
    .array(
      z.object({
        cut: z.int().check(z.positive()),
        reconstruction: z.nullable(z.object({ r2: z.number() })),
      }),
    )
    .check(z.minLength(1)),
});

/** What the command line says of leakage; both or neither. */
export interface LeakFlags {
  readonly audit?: string;
  readonly leakMax?: number;
}

/**
 * The floor that an audit of this job asks for; null where no bound is given.
 * @throws InputError where one flag lacks the other, or the file is no audit of this job
 */
export function leakLimit({ audit, leakMax }: LeakFlags, job: Job): LeakFloor | null {
  if (audit === undefined && leakMax === undefined) return null;
  if (audit === undefined || leakMax === undefined) {
    throw new InputError({
      what: audit === undefined ? "--leak-max" : "--audit",
      received: "one without the other",
      allowed: "--audit FILE, as edgeloom audit --out wrote it, with --leak-max R2",
    });
  }
  const found = readAudit(audit);
  for (const [what, given, wanted] of [
    ["model", found.model, job.model],
    ["codec", found.codec, job.codec.up],
  ] as const) {
    if (given === wanted) continue;
    throw new InputError({
      what: `the audit's ${what}`,
      received: given,
      allowed: `${wanted}, the job's`,
      where: audit,
    });
  }
  return leakFloor(found, leakMax);
}

function readAudit(path: string): z.infer<typeof auditSchema> {
  try {
    return z.parse(auditSchema, JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new InputError(
      {
        what: "audit",
        received: `${path} (${messageOf(error).split("\n")[0]})`,
        allowed: "a file that edgeloom audit --out has written",
      },
      { cause: error },
    );
  }
}
