/** What happened, in words: one wording for terminal, page and report. */
import { formatBytes, formatMs, formatShare } from "../../base/units.ts";
import type { Plan } from "../../plan/plan.ts";
import type { RoundCommitted, RunRecord, Transfer, WayProbed } from "./record.ts";

/** What sort of thing happened. */
export type EventKind =
  | "started"
  | "waiting"
  | "resumed"
  | "joined"
  | "left"
  | "probed"
  | "planned"
  | "dropped"
  | "folded"
  | "transferred"
  | "alone"
  | "ended";

/** Something that a person following the run would want to know. */
export interface RunEvent {
  readonly kind: EventKind;
  readonly text: string;
}

/** What a record tells a person; nothing for the steady rounds and measurements that plots show. */
export function eventsOf(record: RunRecord): readonly RunEvent[] {
  switch (record.type) {
    case "run": {
      const size = `${record.parameters.toLocaleString("en")} parameters`;
      // Records of version 1 do not name the model.
      const model = record.model === "?" ? "" : `${record.model}, `;
      const text = `run ${record.run} started: ${model}${size}, ${record.rounds} rounds`;
      return [{ kind: "started", text }];
    }
    case "joined": {
      const { name, kind, samples, duty } = record;
      const share = duty === 1 ? "a whole core" : `duty ${formatShare(duty)} of a core`;
      const text =
        kind === "device"
          ? `${name} joined: ${samples.toLocaleString("en")} private samples, ${share}`
          : `${name} joined: ${kind === "edge" ? "an edge server" : "a cloud server"}, ${share}`;
      return [{ kind: "joined", text }];
    }
    case "left":
      return [
        {
          kind: "left",
          text: `${record.name} left: ${record.reason}`,
        },
      ];
    case "profiled":
      return [{ kind: "probed", text: `${record.name}: probed in ${formatMs(record.probeMs)}` }];
    case "planned": {
      const { plan, reason } = record;
      const what = `plan, term ${plan.term}${placeWords(plan)}`;
      return [{ kind: "planned", text: `${what} (${plan.planner}; ${reason})` }];
    }
    case "round":
      return roundEvents(record);
    case "waiting":
      return [{ kind: "waiting", text: `waiting for nodes to come back: ${record.reason}` }];
    case "resumed": {
      const text = `resumed after ${record.round} rounds: ${record.reason}`;
      return [{ kind: "resumed", text }];
    }
    case "ended":
      return [{ kind: "ended", text: `${record.reason}: ${record.text}` }];
    case "links":
      return probeWords(record.probes);
    case "environment":
    case "evaluation":
    case "activity":
      return [];
  }
}

/** Where the one chain of a pipeline goes; plans of many chains have their table. */
function placeWords({ chains, copies }: Plan): string {
  const [chain] = chains;
  if (chain === undefined || chains.length > 1) return "";
  const nodes = chain.stages.map(
    (stage) => copies.find(({ id }) => id === stage.copy)?.node ?? "?",
  );
  const [source, ...servers] = nodes;
  return servers.length === 0 ? `: ${source} alone` : `: ${source} with ${servers.join(", then ")}`;
}

/** What probes of the ways between nodes have cost so far. */
function probeWords(probes: readonly WayProbed[]): RunEvent[] {
  const sum = (of: (way: WayProbed) => number): number =>
    probes.reduce((total, way) => total + of(way), 0);
  const payloads = sum((way) => way.payloads);
  if (payloads === 0) return [];
  const bytes = formatBytes(sum((way) => way.bytes));
  const longest = formatMs(Math.max(...probes.map(({ ms }) => ms)));
  const text = `ways between nodes: ${payloads} probes so far, ${bytes} in all, ${longest} on the one that was held longest`;
  return [{ kind: "probed", text }];
}

/** Who was missing in a round, whose late part came into it, and who took over whose weights. */
function roundEvents(record: RoundCommitted): RunEvent[] {
  const { round, dropped, folded = [], participants, alone = [] } = record;
  const named = (chain: string): string => chain.replace("chain:", "");
  return [
    ...(alone.length === 0
      ? []
      : [{ kind: "alone", text: `round ${round + 1}: ${aloneWords(alone.length + 1)}` } as const]),
    ...dropped.map(
      ({ chain, reason }): RunEvent => ({
        kind: "dropped",
        text: `round ${round + 1}: went on without ${named(chain)} (${reason})`,
      }),
    ),
    ...participants.flatMap(({ chain, transfers = [] }) =>
      transfers
        .filter(({ by }) => by === undefined)
        .map((one): RunEvent => {
          const text = `round ${round + 1}: ${transferWords(named(chain), named(one.chain), one)}`;
          return { kind: "transferred", text };
        }),
    ),
    ...folded.map(
      ({ chain, round: from }): RunEvent => ({
        kind: "folded",
        text: `round ${round + 1}: took in what ${named(chain)} has brought late of round ${from + 1}`,
      }),
    ),
  ];
}

/** What became of weights that a member of an exchange was given by another one. */
function transferWords(member: string, of: string, { at, ownLoss, mixedLoss, isTaken }: Transfer) {
  const [mixed, own] = [mixedLoss, ownLoss].map((loss) => loss?.toPrecision(3) ?? "no number");
  const losses = `on its held-out samples: loss ${mixed} with them, ${own} without`;
  return isTaken
    ? `${member} took over weights of ${of} after exchange ${at} (${losses})`
    : `${member} kept its own weights beside those of ${of} after exchange ${at} (${losses})`;
}

const aloneWords = (rounds: number): string =>
  `took in ${rounds} rounds that nodes have made by themselves while the coordinator was away`;
