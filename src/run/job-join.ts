/** By which policy what workers bring becomes one: what a job may say of it, while they train and at a round's end. */
import * as z from "zod/mini";
import { InputError } from "../base/errors.ts";
import {
  isPlain,
  type JoinPolicy,
  type SyncPolicyName,
  syncPolicyNames,
  voicesMin,
} from "../sync/policies.ts";

export const joinSchema = z.strictObject({
  kind: z._default(z.enum(syncPolicyNames as [string, ...string[]]), "average"),
  liars: z.optional(z.int().check(z.nonnegative())),
  clip: z.optional(z.number().check(z.positive())),
});

/** The same as planners take it. */
export const joinPolicy = ({ kind, liars, clip }: z.infer<typeof joinSchema>): JoinPolicy => ({
  kind: kind as SyncPolicyName,
  ...(liars !== undefined && { liars }),
  ...(clip !== undefined && { clip }),
});

/** Where a job says how workers agree, and what has a bearing on it. */
interface JoiningJob {
  readonly round: { readonly join?: z.infer<typeof joinSchema> | undefined; readonly late: string };
  readonly exchange: {
    readonly join: z.infer<typeof joinSchema>;
    readonly select: string | object;
    readonly staleness: number;
  };
  readonly split: { readonly serverCopies: string };
  readonly fleet: { readonly devices: readonly unknown[] };
}

/**
 * Refuses policies that would not hold in the job: with too few devices, or beside what they do not go together with.
 * @throws InputError
 */
export function refuseJoins(
  { round, exchange, split, fleet }: JoiningJob,
  locate: (path: readonly PropertyKey[]) => string,
): void {
  const refuse = (path: readonly string[], received: string, allowed: string): never => {
    throw new InputError({ what: path.join("."), received, allowed, where: locate(path) });
  };
  for (const [path, join] of [
    [["round", "join"], round.join],
    [["exchange", "join"], exchange.join],
  ] as const) {
    if (join === undefined) continue;
    const policy = joinPolicy(join);
    const [devices, least] = [fleet.devices.length, voicesMin(policy)];
    if (devices >= least) continue;
    const received = `${policy.kind} against ${policy.liars} liars among ${devices} devices`;
    refuse(path, received, `${least} devices or more, or fewer liars`);
  }
  const { select, staleness } = exchange;
  const isWhole = (select === "auto" || select === "all") && staleness === 0;
  if (!isWhole && !isPlain(joinPolicy(exchange.join))) {
    const received = `${exchange.join.kind} with other than whole parts in time`;
    refuse(["exchange", "join"], received, "select: all or auto, and staleness: 0");
  }
  if (round.join === undefined || isPlain(joinPolicy(round.join))) return;
  if (round.late === "fold") {
    refuse(["round", "join"], `${round.join.kind} with round.late: fold`, "round.late: drop");
  }
  if (split.serverCopies === "shared") {
    const received = `${round.join.kind} with split.serverCopies: shared`;
    refuse(
      ["round", "join"],
      received,
      "split.serverCopies: each, so that each device has a voice",
    );
  }
}
