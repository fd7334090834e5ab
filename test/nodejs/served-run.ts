/** A small run served in the test's own process, computed by the interpreter, and what talks to it raw. */
import { request } from "node:http";
import { basename } from "node:path";
import { WebSocket } from "ws";
import { present } from "../../src/base/assert.ts";
import { elementCount } from "../../src/base/tensor.ts";
import {
  createRunFolder,
  csvDataset,
  type Joined,
  type JoinOptions,
  join,
  parseJob,
  type ReachOptions,
  type RunRecord,
  SampleSource,
  Sequential,
  type Serving,
  serve,
} from "../../src/nodejs.ts";
import type { Engine } from "../../src/run/host.ts";
import {
  decodeCoordinatorFrame,
  encodeFrame,
  joinFrame,
  splitFrame,
} from "../../src/run/wire/frame.ts";
import {
  type CoordinatorMessage,
  type Hello,
  protocolVersions,
} from "../../src/run/wire/messages.ts";
import { interpreterEngine } from "../../src/sim.ts";

/** Four points of two classes. */
const points = (): SampleSource =>
  new SampleSource(
    csvDataset(new TextEncoder().encode("0,0,0\n0,1,0\n1,0,1\n1,1,1"), { header: false }),
  );

const model = () =>
  new Sequential("tiny", [2], 1).linear("fc1", 4).relu("relu").linear("fc2", 2).model();

/**
 * The interpreter, which is in no time, or says of each run that it computed so long for each number that it was fed: which of two
 * servers is the faster one is then as sure as on a model that takes a clock's time.
 */
export function tinyEngine(msPerNumber = 0): Engine {
  const engine = interpreterEngine();
  const ms = new Map<string, number>();
  return {
    description: engine.description,
    load: (programs) => {
      for (const { id, inputs } of programs) {
        const numbers = inputs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
        ms.set(id, msPerNumber * numbers);
      }
      return engine.load(programs);
    },
    write: (values) => engine.write(values),
    read: (slots) => engine.read(slots),
    run: async (run) => ({
      ...(await engine.run(run)),
      computeMs: present(ms.get(run.program), run.program),
    }),
    drop: (prefix) => engine.drop(prefix),
    close: () => engine.close(),
  };
}

export interface ServedRun {
  readonly serving: Serving;
  readonly path: string;
  readonly records: RunRecord[];
  /** A device with the token of this number. */
  device(number: number, options?: DeviceOptions): Promise<Joined>;
}

/** How a device joins; with all of a core where it says nothing of that. */
type DeviceOptions = Pick<JoinOptions, "route"> & Partial<Pick<JoinOptions, "duty" | "engine">>;

/** Serves a run for so many devices, named d0, d1, and so on. */
export async function serveRun(
  runs: string,
  options: {
    devices: number;
    rounds?: number;
    reach?: ReachOptions;
    name?: string;
    /** Of the edge server in the serving process; all of a core where absent. */
    ownDuty?: number;
    /** Of all engines of the run; see {@link tinyEngine}. */
    msPerNumber?: number;
  },
): Promise<ServedRun> {
  const {
    devices,
    rounds = 3,
    reach = {},
    name = "tiny",
    ownDuty: duty = 1,
    msPerNumber,
  } = options;
  const job = parseJob({
    name,
    model: "tiny",
    data: { csv: "none" },
    batch: 2,
    rounds,
    localBatches: 2,
    evaluate: { every: 1000 },
    fleet: { devices: Array.from({ length: devices }, (_, i) => ({ name: `d${i}` })) },
  });
  const folder = createRunFolder(runs, name, "", new Date());
  const records: RunRecord[] = [];
  const serving = await serve({
    job,
    model: model(),
    folder,
    test: null,
    engine: tinyEngine(msPerNumber),
    port: null,
    duty,
    reach,
    // Tests say nothing to the network that they happen to run in.
    announce: false,
    command: "none",
    startedAt: Date.now(),
    record: (record) => records.push(record),
  });
  return {
    serving,
    path: folder.path,
    records,
    device: (number, own = {}) =>
      joinAt(serving.url, {
        engine: tinyEngine(msPerNumber),
        ...own,
        token: present(serving.tokens[number], "a token"),
        ...(serving.fingerprint === null ? {} : { ca: serving.fingerprint }),
        name: `d${number}`,
      }),
  };
}

/** Joins as a device with the four points. */
export const joinAt = (
  url: string,
  options: Pick<JoinOptions, "token" | "ca" | "name"> & DeviceOptions,
): Promise<Joined> =>
  join({
    url,
    duty: 1,
    engine: interpreterEngine(),
    ...options,
    memoryBytes: null,
    ceilingBytesPerMs: null,
    train: points(),
    onEvent: () => {},
  });

/** Name of the run in a folder. */
export const runOf = ({ path }: ServedRun): string => basename(path);

/** A device's first message. */
export const helloFrame = (change: Partial<Hello>): Uint8Array =>
  joinFrame(
    encodeFrame({
      type: "hello",
      protocols: protocolVersions,
      token: "",
      instance: "first",
      name: "stranger",
      kind: "device",
      machine: "m",
      duty: 1,
      memoryBytes: null,
      ceilingBytesPerMs: null,
      samples: 4,
      inputShape: [2],
      classes: 2,
      classNames: null,
      testSamples: 0,
      engine: "none",
      address: null,
      dials: false,
      ...change,
    }),
  );

/** What a server says to a raw connection that sends these messages, and how it ends. */
export interface Heard {
  readonly messages: CoordinatorMessage[];
  readonly code: number;
  readonly reason: string;
}

/** Connects, sends, and listens until the server closes. Heartbeats are left out. */
export function talk(url: string, messages: readonly Uint8Array[], headers = {}): Promise<Heard> {
  return new Promise((resolve) => {
    const heard: CoordinatorMessage[] = [];
    const socket = new WebSocket(url, { perMessageDeflate: false, headers });
    let failure = "";
    socket.on("open", () => {
      for (const message of messages) socket.send(message);
    });
    socket.on("message", (data: Buffer) => {
      const { message } = decodeCoordinatorFrame(splitFrame(new Uint8Array(data)));
      if (message.type !== "ping" && message.type !== "pong") heard.push(message);
    });
    socket.on("error", (error) => {
      failure = error.message;
    });
    socket.on("close", (code, reason) => {
      resolve({ messages: heard, code, reason: failure || String(reason) });
    });
  });
}

/** A plain HTTP request with its path and headers exactly as given. */
export function ask(
  origin: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  const { method = "GET", headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const asked = request(origin, { method, path, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
    });
    asked.on("error", reject).end(body);
  });
}
