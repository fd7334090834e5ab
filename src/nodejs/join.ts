/** `join` in Node.js: a worker on a WebSocket to a coordinator, which comes back when the link is lost. Composition only. */
import { WebSocket } from "ws";
import { InputError, messageOf } from "../base/errors.ts";
import type { SampleSource } from "../data/source.ts";
import type { EnergyLimit } from "../plan/plan.ts";
import type { Done, Engine, Host, Link } from "../run/host.ts";
import { Rejoiner, type RejoinerEvent } from "../run/worker/rejoiner.ts";
import type { WorkerEnd } from "../run/worker/worker-owner.ts";
import { readAddress, type ServerAddress, socketUrl, type Trust, trustOf } from "./address.ts";
import { machineName, nodeHost, noStore } from "./host.ts";
import { dialOptions, webSocketLink } from "./link.ts";
import { dialPeer, listenForPeers, type PeerListener } from "./peer-sockets.ts";
import { type KnownCoordinator, KnownPeers, printedPeer, toldOf } from "./through-peer.ts";

const defaultPatienceMs = 600_000;
/** Time that a round under way is given to come to its end: less than machines give that are taken away. */
const noticeMs = 25_000;

/** Which run to join, as what, and with which data. */
export interface JoinOptions {
  /** What serve printed: ws://host:port or wss://host:port, also with #token=...&ca=... behind it. */
  readonly url: string;
  /** The join token, where the URL has none. */
  readonly token?: string;
  /** For a server with a CA of its own: the CA's fingerprint, or the path of its certificate (PEM). */
  readonly ca?: string;
  readonly name: string;
  readonly duty: number;
  readonly memoryBytes: number | null;
  readonly ceilingBytesPerMs: number | null;
  /** What it may spend, where that is limited. */
  readonly energy?: EnergyLimit;
  /** Null for an edge server, which needs no data. */
  readonly train: SampleSource | null;
  /** As what it joins, by a token of that role; a device where absent. */
  readonly kind?: "device" | "edge";
  /**
   * "HOST:PORT" where other workers of the run may reach this one, so that data between them need
   * not pass through the coordinator; nowhere where absent. On the loopback address it is
   * for workers of this machine, anywhere else it is under TLS.
   */
  readonly listen?: string;
  /**
   * Where a connection to another worker really goes, by the URL under which the run knows it: to a
   * {@link ShapedNetwork}, say. Null where it cannot be reached; straight there where absent.
   */
  readonly route?: (url: string) => string | null;
  readonly engine: Engine;
  /** How long it tries to come back where the link is lost; ten minutes where absent. */
  readonly patienceMs?: number;
  /** Told how the run goes from where this worker stands. */
  onEvent(event: RejoinerEvent): void;
}

/** A worker that has connected. */
export interface Joined {
  /** What others may ask for the coordinator (`--via`); null where this worker does not listen. */
  readonly via: string | null;
  readonly ended: Promise<WorkerEnd>;
  /** Finishes the round under way and ends, within 25 s; the run goes on without this device. */
  giveNotice(text: string): void;
  /** Says goodbye and ends at once. */
  leave(text: string): void;
}

/**
 * Connects and starts a worker.
 * @throws InputError when the URL is none, or nobody answers there whom it makes trustworthy
 */
export async function join(options: JoinOptions): Promise<Joined> {
  const { url, token, ca } = options;
  const address = readAddress("coordinator URL", url, { token, ca });
  const trust = await trustOf(address);
  const door = options.listen === undefined ? null : await listenForPeers(options.listen);
  try {
    const start = (socket: WebSocket) => startWorker(socket, { address, trust, door }, options);
    return await connect(address, trust, start);
  } catch (error) {
    door?.close();
    throw error;
  }
}

/** What a worker has open, or may open, beside its options. */
interface Ways {
  readonly address: ServerAddress;
  readonly trust: Trust;
  /** Where other workers come in; null where they do not. */
  readonly door: PeerListener | null;
}

function startWorker(
  socket: WebSocket,
  { address: first, trust, door }: Ways,
  options: JoinOptions,
): Joined {
  const { promise, resolve } = Promise.withResolvers<WorkerEnd>();
  let address = first;
  const { token } = address;
  const peers = new KnownPeers();
  let known = toldOf(address, trust);
  if (door !== null) door.coordinator = known;
  const { engine, name, kind = "device", duty } = options;
  const { memoryBytes, ceilingBytesPerMs, energy } = options;
  const dial = (done: Done<Link>): void => {
    reach({ address, trust, known, peers }).then(
      ({ link, at }) => {
        if (known !== null) known = { ...known, url: socketUrl(at) };
        address = at;
        if (door !== null) door.coordinator = known;
        done({ ok: true, value: link });
      },
      (error: unknown) => done({ ok: false, error: messageOf(error) }),
    );
  };
  const worker = new Rejoiner(
    hostOf(options, peers),
    webSocketLink(socket),
    dial,
    {
      name,
      kind,
      token,
      machine: machineName(),
      duty,
      memoryBytes,
      ceilingBytesPerMs,
      ...(energy === undefined ? {} : { energy }),
      address: door?.address ?? null,
      patienceMs: options.patienceMs ?? defaultPatienceMs,
    },
    { onEvent: (event) => options.onEvent(event), onEnd: resolve },
  );
  if (door !== null) door.onLink = (link) => worker.accept(link);
  return {
    via: door === null || known === null ? null : printedPeer(door.address),
    ended: promise.finally(() => {
      door?.close();
      return engine.close();
    }),
    giveNotice: (text) => worker.giveNotice(text, noticeMs),
    leave: (text) => worker.leave(text),
  };
}

function hostOf({ engine, train, route = (url) => url }: JoinOptions, peers: KnownPeers): Host {
  const host = nodeHost({ engine, train, test: null, store: noStore, record: () => {} });
  return {
    ...host,
    dial(address, done) {
      peers.add(address);
      const url = route(address.url);
      if (url !== null) return dialPeer({ ...address, url }, done);
      setImmediate(() => done({ ok: false, error: `${address.url} is not reachable from here` }));
    },
  };
}

/** Connects to the coordinator where it was, or else where workers that are known say that it is. */
async function reach({ address, trust, known, peers }: Reachable): Promise<Reached> {
  try {
    return { link: await connect(address, trust, webSocketLink), at: address };
  } catch (error) {
    for (const url of known === null ? [] : await peers.elsewhere(known)) {
      const at = { ...address, host: new URL(url).host };
      const link = await connect(at, trust, webSocketLink).catch(() => null);
      if (link !== null) return { link, at };
    }
    throw error;
  }
}

interface Reachable extends Pick<Ways, "address" | "trust"> {
  readonly known: KnownCoordinator | null;
  readonly peers: KnownPeers;
}

interface Reached {
  readonly link: Link;
  readonly at: ServerAddress;
}

/** Runs `start` as soon as the socket is open, before the first message can be missed. */
function connect<T>(
  address: ServerAddress,
  trust: Trust,
  start: (socket: WebSocket) => T,
): Promise<T> {
  const url = socketUrl(address);
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { ...dialOptions, ...trust });
    socket.once("open", () => {
      socket.removeAllListeners("error");
      resolve(start(socket));
    });
    socket.once("error", (error) =>
      reject(
        new InputError({
          what: "coordinator URL",
          received: `${url} (${error.message})`,
          allowed: "the address that serve printed, while it runs",
        }),
      ),
    );
  });
}
