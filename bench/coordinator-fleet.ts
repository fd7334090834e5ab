/** What the coordinator's benchmark and its child processes say to each other. */

/** Shape of the samples that devices have. */
export const deviceShape = { features: 8, classes: 4 } as const;

/** What a child is to do, as its first message. */
export interface FleetTask {
  readonly url: string;
  readonly devices: readonly { readonly name: string; readonly token: string }[];
  /** Share of the devices that leave within a minute, each to come again soon. */
  readonly leaving: number;
  readonly seed: number;
}

/** What a child is told later: that the measurement begins, and that it is over. */
export type FleetOrder = "measure" | "over";

/** What a child tells: that all its devices have joined, and at the end what they have seen. */
export type FleetMessage =
  | { readonly type: "joined" }
  | { readonly type: "report"; readonly report: FleetReport };

/** What the devices of a child have seen. */
export interface FleetReport {
  /** Round trips of heartbeats, from message to message. */
  readonly rttMs: number[];
  /** Contributions sent: term, round and chain of each. */
  readonly contributions: [term: number, round: number, chain: string][];
  left: number;
  rejoined: number;
  /** How devices ended, in words, and how often. */
  readonly ends: Record<string, number>;
}
