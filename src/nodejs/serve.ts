/**
 * `serve` in Node.js: a web server whose connections go to a coordinator or to
 * those who look on, the coordinator's run folder, and an edge server's worker in
 * the same process. Composition only; every decision is in `run/`.
 */
import { dirname } from "node:path";
import { present } from "../base/assert.ts";
import type { Model } from "../compile/graph.ts";
import type { SampleSource } from "../data/source.ts";
import type { Ticket } from "../run/coordinator/admission.ts";
import { Coordinator } from "../run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../run/coordinator/farewell.ts";
import type { Engine } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import { ObserverHub } from "../run/observe/hub.ts";
import { environment } from "./environment.ts";
import { after, nodeHost } from "./host.ts";
import { JoinDesk } from "./join-desk.ts";
import { webSocketLink } from "./link.ts";
import { startOwnWorker } from "./own-worker.ts";
import { type RecordListener, recorder } from "./recording.ts";
import { completeFolder } from "./report.ts";
import { discardRunFolder, type RunFolder } from "./run-folder.ts";
import { folderStore } from "./store.ts";
import { type Joining, newToken, openWeb } from "./web.ts";

/** Which job to serve, and where everything of it goes. */
export interface ServeOptions {
  readonly job: Job;
  readonly model: Model;
  /** A new folder: records, weights, plan and report go there. */
  readonly folder: RunFolder;
  /** Held-out data for the edge server's evaluations; null leaves them out. */
  readonly test: SampleSource | null;
  readonly engine: Engine;
  /** Exactly this port, or null for the first free one from {@link defaultPort}. */
  readonly port: number | null;
  /** The command line that starts the same run again, for its records. */
  readonly command: string;
  /** Unix time in milliseconds from which the run's time counts. */
  readonly startedAt: number;
  /** Told everything that happens, in order. */
  readonly record: RecordListener;
}

/** A run that is being served. */
export interface Serving {
  /** Where workers connect. */
  readonly url: string;
  /** The page that shows the run, with its token. */
  readonly pageUrl: string;
  readonly port: number;
  /** One join token per expected device. */
  readonly tokens: readonly string[];
  /** For each of them the link with which a browser joins. */
  readonly joinUrls: readonly string[];
  /** The end of the run, when everything is written. */
  readonly ended: Promise<CoordinatorEnd>;
  /** Ends the run after what is committed. */
  interrupt(text: string): void;
}

/**
 * Starts a coordinator with its edge server. Where it cannot start, the folder is taken back.
 * @throws InputError when the port is taken, ModelError when the model cannot be trained as the job says
 */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { job, folder, engine, startedAt } = options;
  const { run, log, path } = folder;
  const pageToken = newToken();
  const hub = new ObserverHub({
    live: { run, log },
    accepts: (token) => token === pageToken,
    after,
    onWatch: (isWatched) => coordinator.watch(isWatched),
  });
  const tokens = job.fleet.devices.map(newToken);
  const joining = joiningOf(options, tokens);
  const publish: RecordListener = (value, atMs) => hub.publish({ record: value, atMs });
  const listeners = [publish, joining.desk.add, options.record];
  const record = recorder(folder, startedAt, listeners, (text) => coordinator.interrupt(text));
  const opened = openWeb({
    port: options.port,
    runs: dirname(path),
    token: pageToken,
    live: run,
    hub,
    joining,
    onWorker: (socket) => coordinator.accept(webSocketLink(socket)),
  });
  const web = await opened.catch((error: unknown) => {
    discardRunFolder(folder);
    throw error;
  });
  const edgeToken = newToken();
  const tickets = new Map<string, Ticket>(tokens.map((token) => [token, { kind: "device" }]));
  tickets.set(edgeToken, { kind: "edge" });
  const { promise: ended, resolve, reject } = Promise.withResolvers<CoordinatorEnd>();
  let coordinator: Coordinator;
  try {
    record(environment(options.command, new Date(startedAt)));
    coordinator = new Coordinator(
      nodeHost({ engine, train: null, test: null, store: folderStore(path), record }),
      { run, job, model: options.model, tickets, edges: 1 },
      resolve,
    );
  } catch (error) {
    web.close();
    discardRunFolder(folder);
    await engine.close();
    throw error;
  }
  startOwnWorker(
    coordinator,
    { name: "edge", kind: "edge", token: edgeToken, engine, train: null, test: options.test },
    reject,
  );
  const closed = ended
    .then((end) => completeFolder(folder, end))
    .finally(() => {
      // The web first: observers read the rest of the log as they are sent away.
      web.close();
      log.close();
      return engine.close();
    });
  return {
    url: web.url,
    pageUrl: web.pageUrl,
    port: web.port,
    tokens,
    joinUrls: tokens.map((token) => web.joinUrl(token)),
    ended: closed,
    interrupt: (text) => coordinator.interrupt(text),
  };
}

/** What devices that want to join are told. */
function joiningOf(options: ServeOptions, tokens: readonly string[]): Joining {
  const { job, model, test, folder } = options;
  return {
    desk: new JoinDesk({ run: folder.run, job, model, test }),
    deviceOf(token) {
      const device = tokens.indexOf(token);
      return device < 0 ? null : device;
    },
    tokens: job.fleet.devices.map(({ name }, i) => ({ name, token: present(tokens[i], name) })),
  };
}
