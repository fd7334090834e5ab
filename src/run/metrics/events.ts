/** What happened, in words: one wording for terminal, page and report. */
import { formatMs, formatShare } from "../../base/units.ts";
import type { RunRecord } from "./record.ts";

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
      return [{ kind: "planned", text: `plan, term ${plan.term} (${plan.planner}; ${reason})` }];
    }
    case "round":
      return record.dropped.map(({ chain, reason }) => ({
        kind: "dropped",
        text: `round ${record.round + 1}: went on without ${chain.replace("chain:", "")} (${reason})`,
      }));
    case "waiting":
      return [{ kind: "waiting", text: `waiting for nodes to come back: ${record.reason}` }];
    case "resumed": {
      const text = `resumed after ${record.round} rounds: ${record.reason}`;
      return [{ kind: "resumed", text }];
    }
    case "ended":
      return [{ kind: "ended", text: `${record.reason}: ${record.text}` }];
    case "links":
    case "environment":
    case "evaluation":
    case "activity":
      return [];
  }
}
