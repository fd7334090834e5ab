/** `join` in a browser: one worker on a WebSocket to a coordinator. Composition only. */
import { InputError } from "../base/errors.ts";
import type { SampleSource } from "../data/source.ts";
import type { Engine, Link, Store } from "../run/host.ts";
import { frameBytes } from "../run/wire/frame.ts";
import {
  type TensorTraffic,
  Worker,
  type WorkerEnd,
  type WorkerEvent,
} from "../run/worker/worker.ts";
import { browserHost, noStore } from "./host.ts";
import { webSocketLink } from "./link.ts";
import { platform, type Socket } from "./platform.ts";

/** Which run to join, as what, and with which data. */
export interface BrowserJoinOptions {
  /** Where workers connect: `ws://` or `wss://`. */
  readonly url: string;
  readonly token: string;
  readonly name: string;
  /** Names the physical machine, whichever of its pages joins: probes on one machine take turns. */
  readonly machine: string;
  readonly train: SampleSource;
  readonly engine: Engine;
  /** Where the peer keeps files; nowhere where absent. */
  readonly store?: Store;
  /** Told how the run goes from where this worker stands. */
  onEvent(event: WorkerEvent): void;
  /** Told of every message with tensors, sent or received. */
  onTensors?(traffic: TensorTraffic): void;
  /** Told how many bytes have crossed the link, all in all. */
  onBytes?(sent: number, received: number): void;
}

/** A worker that has connected. */
export interface BrowserJoined {
  readonly ended: Promise<WorkerEnd>;
  /** Says goodbye; the run goes on without this device. */
  leave(text: string): void;
}

/** Connects and starts a worker. @throws InputError when nobody answers at the URL */
export function join(options: BrowserJoinOptions): Promise<BrowserJoined> {
  return new Promise((resolve, reject) => {
    const refuse = (): void =>
      reject(
        new InputError({
          what: "coordinator",
          received: `no answer at ${options.url}`,
          allowed: "the address of a server that runs",
        }),
      );
    const socket = new platform.WebSocket(options.url);
    let isOpen = false;
    socket.addEventListener("open", () => {
      isOpen = true;
      resolve(startWorker(socket, options));
    });
    socket.addEventListener("close", () => {
      if (!isOpen) refuse();
    });
  });
}

function startWorker(socket: Socket, options: BrowserJoinOptions): BrowserJoined {
  const { engine, train, store = noStore, token, name, machine } = options;
  let onEnd: (end: WorkerEnd) => void = () => {};
  const ended = new Promise<WorkerEnd>((resolve) => {
    onEnd = resolve;
  });
  const worker = new Worker(
    browserHost({ engine, train, store }),
    counted(webSocketLink(socket), options.onBytes?.bind(options)),
    {
      name,
      kind: "device",
      token,
      machine,
      duty: 1,
      memoryBytes: null,
      ceilingBytesPerMs: null,
    },
    {
      onEvent: (event) => options.onEvent(event),
      onEnd: (end) => onEnd(end),
      onTensors: (traffic) => options.onTensors?.(traffic),
    },
  );
  return { ended, leave: (text) => worker.leave(text) };
}

/** The same link, with its bytes counted. */
function counted(link: Link, onBytes: BrowserJoinOptions["onBytes"]): Link {
  if (onBytes === undefined) return link;
  let sent = 0;
  let received = 0;
  const outer: Link = {
    send(frame) {
      link.send(frame);
      sent += frameBytes(frame);
      onBytes(sent, received);
    },
    close: () => link.close(),
    onFrame: () => {},
    onClose: () => {},
  };
  link.onFrame = (frame) => {
    received += frameBytes(frame);
    onBytes(sent, received);
    outer.onFrame(frame);
  };
  link.onClose = (reason) => outer.onClose(reason);
  return outer;
}
