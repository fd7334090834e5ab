/** `join` in a browser: a worker on a WebSocket to a coordinator, which comes back when the link is lost. Composition only. */
import { InputError } from "../base/errors.ts";
import type { SampleSource } from "../data/source.ts";
import { settle } from "../engine/callbacks.ts";
import type { Engine, Link, Store } from "../run/host.ts";
import { frameBytes } from "../run/wire/frame.ts";
import { Rejoiner, type RejoinerEvent } from "../run/worker/rejoiner.ts";
import type { TensorTraffic, WorkerEnd } from "../run/worker/worker-owner.ts";
import { browserHost, noStore } from "./host.ts";
import { webSocketLink } from "./link.ts";
import { platform } from "./platform.ts";

/** How long it tries to come back: phones sleep. */
const patienceMs = 3_600_000;
/** Time that a round under way is given to come to its end. */
const noticeMs = 25_000;

/** Which run to join, as what, and with which data. */
export interface BrowserJoinOptions {
  /** Where workers connect: `ws://` or `wss://`. */
  readonly url: string;
  readonly token: string;
  readonly name: string;
  /** Names the physical machine, whichever of its pages joins: probes on one machine take turns. */
  readonly machine: string;
  /** Names this device from page to page: who keeps it comes back as the same worker. */
  readonly instance: string;
  readonly train: SampleSource;
  readonly engine: Engine;
  /** Where the peer keeps files; nowhere where absent. */
  readonly store?: Store;
  /** Told how the run goes from where this worker stands. */
  onEvent(event: RejoinerEvent): void;
  /** Told of every message with tensors, sent or received. */
  onTensors?(traffic: TensorTraffic): void;
  /** Told how many bytes have crossed the link, all in all. */
  onBytes?(sent: number, received: number): void;
}

/** A worker that has connected. */
export interface BrowserJoined {
  readonly ended: Promise<WorkerEnd>;
  /** Finishes the round under way and ends, within half a minute; the run goes on without this device. */
  giveNotice(text: string): void;
  /** Says goodbye and ends at once. */
  leave(text: string): void;
}

/** Connects and starts a worker. @throws InputError when nobody answers at the URL */
export async function join(options: BrowserJoinOptions): Promise<BrowserJoined> {
  const counted = counting(options.onBytes?.bind(options));
  const dial = async (): Promise<Link> => counted(await connect(options.url));
  const first = await dial();
  const { engine, train, store = noStore, token, name, machine, instance } = options;
  let onEnd: (end: WorkerEnd) => void = () => {};
  const ended = new Promise<WorkerEnd>((resolve) => {
    onEnd = resolve;
  });
  const worker = new Rejoiner(
    browserHost({ engine, train, store }),
    first,
    (done) => void settle(dial(), done),
    {
      name,
      kind: "device",
      token,
      machine,
      instance,
      duty: 1,
      memoryBytes: null,
      ceilingBytesPerMs: null,
      patienceMs,
    },
    {
      onEvent: (event) => options.onEvent(event),
      onEnd: (end) => onEnd(end),
      onTensors: (traffic) => options.onTensors?.(traffic),
    },
  );
  return {
    ended,
    giveNotice: (text) => worker.giveNotice(text, noticeMs),
    leave: (text) => worker.leave(text),
  };
}

/** The link is made as soon as the socket is open, before the first message can be missed. */
function connect(url: string): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket = new platform.WebSocket(url);
    socket.addEventListener("open", () => resolve(webSocketLink(socket)));
    // After "open" this says nothing any more.
    socket.addEventListener("close", () =>
      reject(
        new InputError({
          what: "coordinator",
          received: `no answer at ${url}`,
          allowed: "the address of a server that runs",
        }),
      ),
    );
  });
}

/** Links whose bytes are counted, all connections together. */
function counting(onBytes: BrowserJoinOptions["onBytes"]): (link: Link) => Link {
  let sent = 0;
  let received = 0;
  return (link) => {
    const outer: Link = {
      send(frame) {
        link.send(frame);
        sent += frameBytes(frame);
        onBytes?.(sent, received);
      },
      close: () => link.close(),
      onFrame: () => {},
      onClose: () => {},
    };
    link.onFrame = (frame) => {
      received += frameBytes(frame);
      onBytes?.(sent, received);
      outer.onFrame(frame);
    };
    link.onClose = (reason) => outer.onClose(reason);
    return outer;
  };
}
