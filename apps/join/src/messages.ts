/** What the page and the Web Worker of its device say to each other. */
import type { ChosenFile, JoinProgress } from "edgeloom/browser";

/** A file as it is handed to the worker: a picture with its class, or a table. */
export type DataChoice =
  | {
      readonly kind: "pictures";
      readonly pictures: readonly { readonly file: ChosenFile; readonly className: string }[];
    }
  | { readonly kind: "table"; readonly file: ChosenFile; readonly label: string | null }
  /** The part of a public data set that the server has for this device. */
  | { readonly kind: "shard" }
  /** What this browser has kept from last time. */
  | { readonly kind: "kept" };

/** Everything the device needs to begin. */
export interface Start {
  /** The coordinator's address over HTTP, with a slash at its end. */
  readonly server: string;
  readonly token: string;
  readonly name: string;
  readonly backend: "wasm" | "webgpu";
  /** Of the device that was here before a reload; null for a new one. */
  readonly instance: string | null;
  readonly data: DataChoice;
}

/** Said by the page. */
export type Order =
  | { readonly type: "start"; readonly start: Start }
  | { readonly type: "pause" }
  | { readonly type: "resume" }
  | { readonly type: "leave" };

export type Phase =
  | "reading"
  | "connecting"
  | "waiting"
  | "training"
  /** Told to pause, and finishing the round under way. */
  | "pausing"
  | "paused"
  | "retrying"
  | "ended";

/** Tensors of one kind that have crossed the link. */
export interface Traffic {
  readonly way: "sent" | "received";
  readonly what: string;
  readonly messages: number;
  readonly bytes: number;
}

/** Said by the device whenever something has changed: all that the page shows. */
export interface DeviceState {
  readonly phase: Phase;
  /** More about the phase: what is read, why it waits, how it ended. */
  readonly text: string;
  /** How much is read, 0 to 1; null where that is not known. */
  readonly readShare: number | null;
  /** True where the end is a failure or a refusal. */
  readonly isProblem: boolean;
  readonly samples: number | null;
  readonly engine: string | null;
  /** Round under way, from 1; null before the first. */
  readonly round: number | null;
  /** Of the last round of this device: batches, and how long each computed. */
  readonly lastRound: { readonly batches: number; readonly batchMs: number } | null;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly traffic: readonly Traffic[];
  readonly progress: JoinProgress | null;
}

/** Of a device that has only been started. */
export const atFirst: DeviceState = {
  phase: "reading",
  text: "",
  readShare: null,
  isProblem: false,
  samples: null,
  engine: null,
  round: null,
  lastRound: null,
  bytesSent: 0,
  bytesReceived: 0,
  traffic: [],
  progress: null,
};
