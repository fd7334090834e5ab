/**
 * The Web Worker in which the device lives: reads the samples, joins, and goes on
 * joining when the connection is lost. Timers of workers keep their beat while the
 * page is in the background, and the page never waits for a computation.
 */
import {
  type BrowserJoined,
  datasetOfOwn,
  fetchOffer,
  fetchProgress,
  fetchShard,
  forgetOwnData,
  type JoinOffer,
  join,
  keepOwnData,
  keptOwnData,
  messageOf,
  type OwnData,
  type PrivateFiles,
  type RejoinerEvent,
  readPictures,
  readTable,
  SampleSource,
  type TensorTraffic,
  WebEngine,
  type WorkerEnd,
} from "edgeloom/browser";
import { atFirst, type DataChoice, type DeviceState, type Order, type Start } from "./messages.ts";
import { deviceFiles, machineName, randomName, readSettings, writeSettings } from "./settings.ts";
import { Tally } from "./tally.ts";

const reportMs = 200;
const progressMs = 2_000;
const firstRetryMs = 1_000;
const retryMsMax = 30_000;
/** More threads than this make steps of small models slower, and phones have few fast cores. */
const threadsMax = 4;
/** What the coordinator is told of a device that leaves. */
const stopped = "it was stopped by its user";

class Device {
  readonly #start: Start;
  readonly #server: URL;
  readonly #instance: string;
  readonly #tally = new Tally();
  #files: PrivateFiles | null = null;
  #engine: WebEngine | null = null;
  #train: SampleSource | null = null;
  #joined: BrowserJoined | null = null;
  /** A connection is being opened; one at a time. */
  #isDialling = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #retryMs = firstRetryMs;
  #isPaused = false;
  #isOver = false;
  #reporting: ReturnType<typeof setTimeout> | undefined;
  #state = atFirst;

  constructor(start: Start) {
    this.#start = start;
    this.#server = new URL(start.server);
    this.#instance = start.instance ?? randomName();
    this.#tell({});
  }

  async run(): Promise<void> {
    try {
      const { token, backend } = this.#start;
      this.#files = await deviceFiles(token);
      const offer = await this.#askOffer();
      const data = await this.#read(offer);
      this.#train = new SampleSource(datasetOfOwn(data));
      this.#engine = new WebEngine({
        backend,
        threads: threads(),
        wasmPaths: new URL("join/ort/", this.#server).href,
      });
      this.#tell({ samples: this.#train.samples, engine: this.#engine.description });
    } catch (error) {
      return this.#finish(messageOf(error), true);
    }
    if (this.#isOver) return;
    this.#followProgress();
    await this.#connect();
  }

  pause(): void {
    this.#isPaused = true;
    clearTimeout(this.#retry);
    if (this.#joined === null) return this.#paused();
    this.#giveNotice(this.#joined);
  }

  resume(): void {
    this.#isPaused = false;
    this.#retryMs = firstRetryMs;
    void this.#connect();
  }

  /** Leaves for good, and forgets what was kept of the samples. */
  leave(): void {
    this.#joined?.leave(stopped);
    this.#finish("You have left. The run goes on without this device.", false);
  }

  /** Asks until somebody answers: a page may be loaded again while the server is away. */
  async #askOffer(): Promise<JoinOffer> {
    for (;;) {
      try {
        return await fetchOffer(this.#server, this.#start.token);
      } catch (error) {
        if (!(error instanceof TypeError) || this.#isOver) throw error;
        this.#tell({ phase: "retrying", text: "The server does not answer. Trying again." });
        await new Promise((resolve) => setTimeout(resolve, this.#retryMs));
        this.#retryMs = Math.min(retryMsMax, this.#retryMs * 2);
      }
    }
  }

  async #read(offer: JoinOffer): Promise<OwnData> {
    const data = await this.#samples(this.#start.data, offer);
    const files = this.#files;
    if (files === null) return data;
    // A full disk or a private window keeps nothing; the device works without.
    await this.#keep(files, data).catch(() => {});
    return data;
  }

  async #keep(files: PrivateFiles, data: OwnData): Promise<void> {
    const { name, backend } = this.#start;
    const instance = this.#instance;
    if (this.#start.data.kind !== "kept") await keepOwnData(files, data);
    const what = `${datasetOfOwn(data).samples} samples: ${dataWords[data.kind]}`;
    await writeSettings(files, { name, backend, instance, data: what, isAtWork: true });
  }

  async #samples(choice: DataChoice, offer: JoinOffer): Promise<OwnData> {
    const { classNames } = offer;
    switch (choice.kind) {
      case "pictures": {
        const shape = pictureShape(offer);
        return readPictures(choice.pictures, {
          shape,
          classNames,
          onProgress: (done, of) =>
            this.#tell({ text: `Reading picture ${done} of ${of}`, readShare: done / of }),
        });
      }
      case "table":
        this.#tell({ text: "Reading the table" });
        return readTable(choice.file, { label: choice.label, classNames });
      case "shard":
        if (offer.shard === null) throw new Error("The server has no samples to give.");
        this.#tell({ text: "Fetching samples from the server" });
        return fetchShard(this.#server, this.#start.token, offer.shard);
      case "kept": {
        this.#tell({ text: "Reading what this browser has kept" });
        const kept = this.#files === null ? null : await keptOwnData(this.#files);
        if (kept === null) throw new Error("Nothing is kept here any more: choose data again.");
        return kept;
      }
    }
  }

  async #connect(): Promise<void> {
    const engine = this.#engine;
    const train = this.#train;
    if (engine === null || train === null || this.#isOver || this.#isPaused) return;
    this.#tell({ phase: "connecting", text: "" });
    if (this.#isDialling) return;
    this.#isDialling = true;
    try {
      const joined = await this.#join(train, engine).finally(() => {
        this.#isDialling = false;
      });
      this.#joined = joined;
      // The person may have changed their mind meanwhile.
      if (this.#isOver) joined.leave(stopped);
      else if (this.#isPaused) this.#giveNotice(joined);
      const end = await joined.ended;
      this.#joined = null;
      this.#tally.left();
      this.#ended(end);
    } catch (error) {
      this.#later(messageOf(error));
    }
  }

  async #join(train: SampleSource, engine: WebEngine): Promise<BrowserJoined> {
    const { token, name } = this.#start;
    return join({
      url: new URL(this.#server).href.replace(/^http/, "ws"),
      token,
      name,
      instance: this.#instance,
      machine: await machineName(),
      train,
      engine,
      onEvent: (event) => this.#happened(event),
      onTensors: (traffic) => this.#note(traffic),
      onBytes: (sent, received) => this.#tally.bytes(sent, received),
    });
  }

  #giveNotice(joined: BrowserJoined): void {
    this.#tell({ phase: "pausing", text: "" });
    joined.giveNotice("it was paused by its user");
  }

  #happened(event: RejoinerEvent): void {
    if (this.#isPaused || this.#isOver) return;
    switch (event.type) {
      case "welcomed":
        return this.#tell({ phase: "waiting", text: "" });
      case "round":
        return this.#tell({ phase: "training", text: "", round: event.round + 1 });
      case "lost": {
        const text = `${event.text}. Trying again soon.`;
        return this.#tell({ phase: "retrying", text, round: null });
      }
    }
  }

  #paused(): void {
    this.#tell({ phase: "paused", text: "", round: null });
  }

  /** The device's part has ended, for now or for good. */
  #ended({ reason, text }: WorkerEnd): void {
    if (this.#isOver) return;
    if (this.#isPaused && reason !== "finished") this.#paused();
    else if (reason === "finished") this.#finish(text, false);
    else if (reason === "interrupted") this.#finish(`The run has ended: ${text}`, false);
    else this.#finish(text, true);
  }

  #later(why: string): void {
    if (this.#isOver || this.#isPaused) return;
    const seconds = Math.round(this.#retryMs / 1000);
    const text = `${why}. Trying again in ${seconds} s.`;
    this.#tell({ phase: "retrying", text, round: null });
    this.#retry = setTimeout(() => void this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(retryMsMax, this.#retryMs * 2);
  }

  #finish(text: string, isProblem: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#retry);
    this.#tell({ phase: "ended", text, isProblem, round: null });
    void this.#cleanUp(isProblem);
  }

  /** Samples are kept only where the person may want to try again with them. */
  async #cleanUp(keepsSamples: boolean): Promise<void> {
    const files = this.#files;
    await this.#engine?.close();
    if (files === null) return;
    if (!keepsSamples) await forgetOwnData(files);
    const settings = await readSettings(files);
    if (settings === null) return;
    const data = keepsSamples ? settings.data : null;
    await writeSettings(files, { ...settings, data, isAtWork: false });
  }

  #note(traffic: TensorTraffic): void {
    this.#tally.add(traffic);
    const { message } = traffic;
    if (message.type !== "contribution" || message.steps === 0) return;
    const { steps, computeMs } = message;
    this.#tell({ lastRound: { batches: steps, batchMs: computeMs / steps } });
  }

  #followProgress(): void {
    const ask = async (): Promise<void> => {
      const progress = await fetchProgress(this.#server, this.#start.token).catch(() => null);
      if (progress !== null) this.#tell({ progress });
      this.#tell({});
      if (!this.#isOver) setTimeout(() => void ask(), progressMs);
    };
    void ask();
  }

  /** Changes the state; the page is told soon, and of changes in quick succession once. */
  #tell(change: Partial<DeviceState>): void {
    const phase = this.#state.phase;
    this.#state = { ...this.#state, ...change };
    const report = (): void => {
      clearTimeout(this.#reporting);
      this.#reporting = undefined;
      postMessage({ ...this.#state, ...this.#tally.counted });
    };
    if (phase !== this.#state.phase) report();
    else this.#reporting ??= setTimeout(report, reportMs);
  }
}

const dataWords: Readonly<Record<OwnData["kind"], string>> = {
  pictures: "pictures by class",
  table: "a table",
  digits: "from the server",
};

/** Pictures are sampled to what the model takes. */
function pictureShape({ inputShape, model }: JoinOffer): readonly [1 | 3, number, number] {
  const [channels, height, width, ...rest] = inputShape ?? [];
  const isOfPictures = rest.length === 0 && width !== undefined && height !== undefined;
  if (!isOfPictures || (channels !== 1 && channels !== 3)) {
    throw new Error(`${model} does not take pictures; it takes samples of shape [${inputShape}].`);
  }
  return [channels, height, width];
}

/** One core is left to the page and to the person. */
const threads = (): number =>
  Math.min(threadsMax, Math.max(1, (navigator.hardwareConcurrency || 2) - 1));

let device: Device | null = null;

addEventListener("message", ({ data }: MessageEvent<Order>) => {
  switch (data.type) {
    case "start":
      device = new Device(data.start);
      void device.run();
      return;
    case "pause":
      return device?.pause();
    case "resume":
      return device?.resume();
    case "leave":
      return device?.leave();
  }
});
