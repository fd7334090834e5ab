/** Who may join: a pure decision over what a worker says and what is there already. */
import { sameShape } from "../../base/tensor.ts";
import { misfitOf, type TakenData } from "../taken-data.ts";
import type { Channel } from "../wire/channel.ts";
import {
  commonVersion,
  foreignVersion,
  type Hello,
  protocolVersions,
  type RefusalReason,
  type WorkerMessage,
} from "../wire/messages.ts";

/** Largest frame of somebody who has not been admitted. */
export const helloBytesMax = 64 * 1024;
/** Workers hold nothing back: who consumes nothing of what is sent to it for so long is let go. */
export const consumesWithinMs = 30_000;

/** What a join token allows. One token admits one worker at a time. */
export interface Ticket {
  readonly kind: "device" | "edge" | "cloud";
}

/** A token that allows nothing (any more), and why, to follow on "the join token is not valid: ". */
export interface VoidTicket {
  readonly void: string;
}

/** What join tokens allow: a map where they are known, a check of signatures where they are signed. */
export interface Tickets {
  get(token: string): Ticket | VoidTicket | undefined;
}

/** Workers that are members now, as far as it matters for who may join them. */
export interface Present {
  readonly devices: number;
  /** Who has joined with a token. */
  holding(token: string): Hello | undefined;
  named(name: string): Hello | undefined;
  /** Somebody whose classes have names. */
  withClassNames(): Hello | undefined;
  /** Those who have some columns of the samples. */
  parties(): readonly Hello[];
}

export interface Admission {
  readonly tickets: Tickets;
  readonly present: Present;
  readonly takes: TakenData;
  /** Columns of each party, the one with the labels first; null where nodes hold whole samples. */
  readonly parties: readonly (readonly number[])[] | null;
  /** Devices that the job waits for. */
  readonly devices: number;
}

/** Why a worker is refused, in a word and in a sentence. */
export interface Refusal {
  readonly reason: RefusalReason;
  readonly text: string;
}

/** Null when the worker may join. */
export function admit(hello: Hello, at: Admission): Refusal | null {
  if (commonVersion(hello.protocols, protocolVersions) === null) {
    return { reason: "version", text: foreignVersion(hello.protocols) };
  }
  const ticket = at.tickets.get(hello.token);
  if (ticket !== undefined && "void" in ticket) {
    return { reason: "token", text: `the join token is not valid: ${ticket.void}` };
  }
  if (ticket === undefined || ticket.kind !== hello.kind) {
    return {
      reason: "token",
      text: `the join token is not valid for a ${hello.kind} in this run: copy it from the line that serve printed`,
    };
  }
  if (at.present.holding(hello.token) !== undefined) {
    return { reason: "token in use", text: "another worker has joined with this token" };
  }
  if (at.present.named(hello.name) !== undefined) {
    return {
      reason: "name in use",
      text: `a worker named "${hello.name}" has joined: choose another --name`,
    };
  }
  if (hello.kind === "device" && at.present.devices >= at.devices) {
    return { reason: "fleet full", text: `all ${at.devices} devices of the job have joined` };
  }
  return refuseData(hello, at);
}

/** Says why somebody may not join, and closes the connection. */
export function refuse(channel: Channel<WorkerMessage>, { reason, text }: Refusal): void {
  channel.send({ type: "refuse", reason, text });
  channel.close(text);
}

function refuseData(hello: Hello, at: Admission): Refusal | null {
  if (hello.kind === "device" && hello.samples === 0) {
    return { reason: "no data", text: "a device needs training samples of its own: see --data" };
  }
  if (hello.party !== undefined || (at.parties !== null && hello.kind === "device")) {
    const misfit = partyMisfit(hello, at);
    return misfit === null ? null : { reason: "wrong data", text: misfit };
  }
  const { inputShape, classes } = hello;
  if (inputShape !== null && classes !== null) {
    const misfit = misfitOf({ inputShape, classes }, at.takes);
    if (misfit !== null) return { reason: "wrong data", text: misfit };
  }
  const named = hello.classNames === null ? undefined : at.present.withClassNames();
  if (hello.classNames !== null && named?.classNames != null) {
    const own = hello.classNames.join(", ");
    const theirs = named.classNames.join(", ");
    if (own !== theirs) {
      return {
        reason: "wrong data",
        text: `classes [${own}] differ from those of ${named.name}, [${theirs}]: name them all, in one order, by --classes`,
      };
    }
  }
  return null;
}

/** In which way a party does not fit, in words; null where it does. */
function partyMisfit(
  { party, inputShape, samples, classes }: Hello,
  { parties, present, takes }: Admission,
): string | null {
  if (parties === null)
    return "the job is not for parties: a device needs all columns of its samples";
  const asked = parties.map((columns, i) => `[${columns}]${i === 0 ? " with the labels" : ""}`);
  if (party === undefined) {
    return `the job is for two parties, with columns ${asked.join(" and ")}: see --columns`;
  }
  const { columns, hasLabels, keys } = party;
  const place = parties.findIndex((own) => sameShape(own, columns));
  if (place < 0 || hasLabels !== (place === 0)) {
    const labels = hasLabels ? "with" : "without";
    return `columns [${columns.slice(0, 20)}] ${labels} labels are not those of a party; parties have ${asked.join(" and ")}`;
  }
  const shape = [columns.length, ...takes.inputShape.slice(1)];
  if (inputShape === null || !sameShape(inputShape, shape)) {
    return `samples of shape [${inputShape}] do not fit ${columns.length} columns of a model that takes [${takes.inputShape}]`;
  }
  const misfit = misfitOf({ inputShape: takes.inputShape, classes: classes ?? 0 }, takes);
  if (misfit !== null) return misfit;
  for (const { name, samples: theirs, party: other } of present.parties()) {
    if (other === undefined) continue;
    if (sameShape(other.columns, columns)) return `${name} has joined with columns [${columns}]`;
    if (other.keys !== keys) {
      return (
        `the keys of its ${samples} samples (digest ${keys}) differ from those of the ${theirs} samples of ${name} ` +
        `(digest ${other.keys}): both parties need the same samples, each under the same key`
      );
    }
  }
  return null;
}
