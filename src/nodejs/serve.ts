/**
 * `serve` in Node.js: a web server whose connections go to a coordinator or to
 * those who look on, the coordinator's run folder, and an edge server's worker in
 * the same process. Composition only; every decision is in `run/`.
 */
import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import type { Model } from "../compile/graph.ts";
import type { SampleSource } from "../data/source.ts";
import { Coordinator } from "../run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../run/coordinator/farewell.ts";
import type { Engine } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import { ObserverHub } from "../run/observe/hub.ts";
import { protocolVersions } from "../run/wire/messages.ts";
import { type Access, openAccess } from "./access.ts";
import { environment } from "./environment.ts";
import { after, nodeHost } from "./host.ts";
import { JoinDesk } from "./join-desk.ts";
import type { AnnounceState } from "./lan/announce.ts";
import { webSocketLink } from "./link.ts";
import { checkFit } from "./measure.ts";
import { RunMetrics } from "./metrics.ts";
import { startOwnWorker } from "./own-worker.ts";
import { listenForPeers, type PeerListener } from "./peer-sockets.ts";
import { isLoopback, type ReachOptions } from "./reach.ts";
import { type RecordListener, recorder } from "./recording.ts";
import { completeFolder } from "./report.ts";
import { discardRunFolder, type RunFolder } from "./run-folder.ts";
import { folderStore } from "./store.ts";
import { openWeb, type Web, type WebOptions } from "./web.ts";

/** Which job to serve, and where everything of it goes. */
export interface ServeOptions {
  readonly job: Job;
  readonly model: Model;
  /** A new folder, or one to go on with: records, weights, plan and report go there. */
  readonly folder: RunFolder;
  /** Held-out data for the edge server's evaluations; null leaves them out. */
  readonly test: SampleSource | null;
  readonly engine: Engine;
  /**
   * Training data of this process: its worker is the job's one device then, and edge servers join
   * from elsewhere. An edge server that waits for devices where absent.
   */
  readonly train?: SampleSource;
  /** Share of one core's time that the server's own worker may use; a whole one where absent. */
  readonly duty?: number;
  /** Exactly this port, or null for the first free one from {@link defaultPort}. */
  readonly port: number | null;
  /** From where it can be reached; from this machine alone where absent. */
  readonly reach?: ReachOptions;
  /**
   * Whether it says in the local networks that it is there, so that `findServer` finds it; it does where
   * absent. A server that is reached from this machine alone never does.
   */
  readonly announce?: boolean;
  /** Told whether that works, each time that this changes. */
  readonly onAnnounce?: (state: AnnounceState) => void;
  /** Days for which join links hold; 7 where absent. */
  readonly tokenDays?: number;
  /** How long it waits for nodes to come back where it cannot go on without; ten minutes where absent. */
  readonly patienceMs?: number;
  /** The command line that starts the same run again, for its records. */
  readonly command: string;
  /** Unix time in milliseconds from which the run's time counts. */
  readonly startedAt: number;
  /** Told everything that happens, in order. */
  readonly record: RecordListener;
}

const defaultPatienceMs = 600_000;

/** A run that is being served. */
export interface Serving {
  /** Where workers connect. */
  readonly url: string;
  /** The page that shows the run, with its token. */
  readonly pageUrl: string;
  readonly port: number;
  /** One join token per expected device. */
  readonly tokens: readonly string[];
  /** SHA-256 of the own CA's certificate, which joining devices pin; null without one. */
  readonly fingerprint: string | null;
  /** For each of them the link with which a browser joins. */
  readonly joinUrls: readonly string[];
  /** The page for who may let devices in, and end the run. */
  readonly adminUrl: string;
  /** The end of the run, when everything is written. */
  readonly ended: Promise<CoordinatorEnd>;
  /** Ends the run after what is committed. */
  interrupt(text: string): void;
}

/**
 * Starts a coordinator with its edge server. Where it cannot start, the folder is taken back.
 * @throws InputError when the port is taken or the held-out data do not fit the model, ModelError
 *   when the model cannot be trained as the job says
 */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { job, model, test, folder, engine } = options;
  try {
    if (test !== null) checkFit(model, test, job);
    return await open(options);
  } catch (error) {
    discardRunFolder(folder);
    await engine.close();
    throw error;
  }
}

async function open(options: ServeOptions): Promise<Serving> {
  const { job, folder, engine, startedAt } = options;
  const { run, log, path, journal, earlier } = folder;
  const access = await accessOf(options);
  const hub = new ObserverHub({
    live: { run, log },
    accepts: (token) => access.gate.accepts(token),
    after,
    onWatch: (isWatched) => coordinator.watch(isWatched),
  });
  const metrics = new RunMetrics();
  const desk = new JoinDesk({ run, job, model: options.model, test: options.test });
  const publish: RecordListener = (value, atMs) => hub.publish({ record: value, atMs });
  const listeners = [publish, metrics.add, desk.add, options.record];
  const record = recorder(folder, startedAt, listeners, (text) => coordinator.interrupt(text));
  const { web, door, close } = await openSockets(
    {
      ...access,
      port: options.port,
      runs: dirname(path),
      live: run,
      hub,
      interrupt: (text) => coordinator.interrupt(text),
      metrics: () => metrics.text(),
      desk,
      onWorker: (socket) => coordinator.accept(webSocketLink(socket)),
    },
    options,
  );
  const { tickets, ownToken } = access;
  const { promise: ended, resolve, reject } = Promise.withResolvers<CoordinatorEnd>();
  let coordinator: Coordinator;
  try {
    if (earlier === null) record(environment(options.command, new Date(startedAt)));
    for (const { record: told, atMs } of earlier?.records ?? []) {
      metrics.add(told, atMs);
      desk.add(told);
    }
    coordinator = coordinatorOf(options, tickets, record, resolve);
  } catch (error) {
    close();
    throw error;
  }
  startOwnWorker(coordinator, { ...ownWorker(options), token: ownToken, door }, reject);
  const closed = ended
    .then((end) => completeFolder(folder, end))
    .finally(() => {
      // The web first: observers read the rest of the log as they are sent away.
      close();
      metrics.close();
      log.close();
      journal.close();
      return engine.close();
    });
  return {
    url: web.url,
    pageUrl: web.pageUrl,
    port: web.port,
    tokens: access.deviceTokens,
    fingerprint: access.reach.fingerprint,
    joinUrls: access.deviceTokens.map((token) => web.joinUrl(token)),
    adminUrl: web.adminUrl,
    ended: closed,
    interrupt: (text) => coordinator.interrupt(text),
  };
}

/** What a served run listens on. */
interface Sockets {
  readonly web: Web;
  /** Where workers of this machine reach the server's own one; null where only others would come. */
  readonly door: PeerListener | null;
  close(): void;
}

async function openSockets(options: WebOptions, announcing: Announcing): Promise<Sockets> {
  // From another machine, the way to the server's own worker is the one to the coordinator.
  const door = options.reach.identity === null ? await listenForPeers("127.0.0.1:0") : null;
  try {
    const web = await openWeb(options);
    const withdraw = await announceIn(web, options, announcing);
    const close = (): void => {
      withdraw();
      web.close();
      door?.close();
    };
    return { web, door, close };
  } catch (error) {
    door?.close();
    throw error;
  }
}

type Announcing = Pick<ServeOptions, "announce" | "onAnnounce">;

/** Says in the local networks that the server is there. @returns what takes it back */
async function announceIn(
  { port, listensOn }: Web,
  { live, reach }: WebOptions,
  { announce: isWanted = true, onAnnounce = () => {} }: Announcing,
): Promise<() => void> {
  if (!isWanted || live === null || isLoopback(listensOn)) return () => {};
  // Only now: most runs stay on one machine.
  const { announce } = await import("./lan/announce.ts");
  const { openMulticast } = await import("./lan/multicast.ts");
  const { fingerprint: ca, certified: host } = reach;
  const advert = { run: live, port, protocols: protocolVersions, ca, host };
  const world = { open: openMulticast, now: () => performance.now(), after, random: Math.random };
  const announcement = announce({ advert, listensOn, onState: onAnnounce }, world);
  return () => announcement.close();
}

/** The coordinator, which goes on with what the folder holds of the run. */
function coordinatorOf(
  { job, model, folder, engine, train, patienceMs = defaultPatienceMs }: ServeOptions,
  tickets: Access["tickets"],
  record: (record: RunRecord) => void,
  onEnd: (end: CoordinatorEnd) => void,
): Coordinator {
  const { run, path, journal, earlier } = folder;
  const { legacy } = earlier ?? {};
  return new Coordinator(
    nodeHost({ engine, train: null, test: null, store: folderStore(path), record }),
    {
      run,
      job,
      model,
      tickets,
      edges: train === undefined ? 1 : 0,
      drawSecret: () => randomBytes(32).toString("base64url"),
      journal,
      ...(legacy === undefined ? {} : { legacy }),
      patienceMs,
    },
    onEnd,
  );
}

/** The run's tokens and certificate. */
function accessOf(options: ServeOptions): Promise<Access> {
  const { job, folder, reach, tokenDays, train } = options;
  // The one device that holds the data is this process.
  const devices = train === undefined ? job.fleet.devices.map(({ name }) => name) : [];
  const { kind: ownKind } = ownWorker(options);
  return openAccess({ folder: folder.path, devices, ownKind, tokenDays, reach });
}

/** The worker of this process: an edge server, or the device where the data are here. */
function ownWorker({ job, engine, test, train, duty = 1 }: ServeOptions) {
  const isEdge = train === undefined;
  const name = isEdge ? "edge" : (job.fleet.devices[0]?.name ?? "local");
  const kind = isEdge ? ("edge" as const) : ("device" as const);
  return { name, kind, duty, engine, train: train ?? null, test };
}
