/** `edgeloom join`: this machine takes part in a run, as a device with data of its own or as an edge server. */
import { hostname } from "node:os";
import {
  bytesPerMsOfMbit,
  type EnergyLimit,
  formatBytes,
  formatMs,
  formatRate,
  InputError,
} from "../../index.ts";
import {
  findServer,
  findThroughPeers,
  join,
  loadParty,
  loadPartyFile,
  loadShard,
  loadTraining,
  NativeEngine,
  peakMemoryBytes,
  type RejoinerEvent,
} from "../../nodejs.ts";
import { exitCodes } from "../exit.ts";
import { isJobFile, readJobFile } from "../job-file.ts";
import { pathOptions } from "../path-options.ts";
import { fail, say } from "../terminal.ts";

export interface JoinFlags {
  /** The name of a run, or true for whichever there is. */
  readonly discover?: string | true;
  /** Workers of the run, by the addresses that they printed. */
  readonly via?: readonly string[];
  readonly token?: string;
  /** Fingerprint or file of the server's CA. */
  readonly ca?: string;
  readonly data?: string;
  readonly edge?: true;
  /** HOST:PORT. */
  readonly listen?: string;
  readonly label?: string;
  readonly key?: string;
  /** Of the model's input, which this party has. */
  readonly columns?: readonly number[];
  readonly classes?: readonly string[];
  readonly name?: string;
  readonly duty: number;
  /** MB. */
  readonly memory?: number;
  /** Mbit/s. */
  readonly ceiling?: number;
  /** Watts, joules a megabyte, joules a round. */
  readonly energy?: EnergyLimit;
  /** Seconds. */
  readonly patience?: number;
  readonly quiet?: true;
}

export async function joinRun(given: string | undefined, flags: JoinFlags): Promise<void> {
  const tell = (text: string): void => {
    if (!flags.quiet) say(text);
  };
  checkAddress(given, flags);
  const train = trainingData(flags);
  const name = flags.name ?? machineLabel();
  if (train !== null) {
    const samples = train.samples.toLocaleString("en");
    tell(`${name}: ${samples} samples from ${flags.data}; they stay here`);
  }
  const url = given ?? (await found(flags, tell));
  const joined = await join({
    url,
    ...(flags.token === undefined ? {} : { token: flags.token }),
    ...(flags.ca === undefined ? {} : { ca: flags.ca }),
    name,
    kind: flags.edge === true ? "edge" : "device",
    ...(flags.listen === undefined ? {} : { listen: flags.listen }),
    duty: flags.duty,
    memoryBytes: flags.memory === undefined ? null : flags.memory * 1e6,
    ceilingBytesPerMs: flags.ceiling === undefined ? null : bytesPerMsOfMbit(flags.ceiling),
    ...(flags.energy === undefined ? {} : { energy: flags.energy }),
    ...(flags.patience === undefined ? {} : { patienceMs: 1000 * flags.patience }),
    train,
    engine: new NativeEngine({ threads: 1 }),
    onEvent: (event) => tell(wordsOf(event)),
  });
  if (joined.via !== null) tell(`who does not know the server may join by --via ${joined.via}`);
  let isNoticed = false;
  const stop = (): void => {
    const text = "it was stopped by its user";
    if (isNoticed) return joined.leave(text);
    isNoticed = true;
    tell("finishing the round; once more to leave at once");
    joined.giveNotice(text);
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  const end = await joined.ended;
  switch (end.reason) {
    case "finished":
      tell(`the run has finished: ${end.text}; peak memory ${formatBytes(peakMemoryBytes())}`);
      break;
    case "interrupted":
      tell(`the run has ended: ${end.text}`);
      process.exitCode = exitCodes.interrupted;
      break;
    case "refused":
      fail(`${url.split("#")[0]} refused to let ${name} join: ${end.text}`);
      process.exitCode = exitCodes.usage;
      break;
    case "failed":
    case "dropped":
    case "lost":
      fail(`${name}: ${end.text}; the run's own folder holds what was trained`);
      process.exitCode = exitCodes.failed;
      break;
  }
}

/** @throws InputError unless there is one way to the server, with what it takes to know it from others */
function checkAddress(given: string | undefined, { discover, via, token, ca }: JoinFlags): void {
  const refuse = (received: string, allowed: string): never => {
    throw new InputError({ what: "edgeloom join", received, allowed });
  };
  // An address behind --discover is taken for the name of a run.
  const isAddress = given !== undefined || String(discover).includes("://");
  const ways = [
    ...(isAddress ? ["an address"] : []),
    ...(discover === undefined ? [] : ["--discover"]),
    ...(via === undefined ? [] : ["--via"]),
  ];
  if (ways.length !== 1) {
    refuse(
      ways.length > 1
        ? `both ${ways.slice(0, 2).join(" and ")}`
        : "neither an address nor --discover",
      "the address that serve printed, --discover to find the server in the local network, or --via with a worker's address",
    );
  }
  if (discover === undefined && via === undefined) return;
  const [way] = ways;
  if (token === undefined) refuse(`${way} without --token`, "the token that serve printed");
  // Who is on this machine alone has no authority.
  const isLocal = via?.every((address) => address.startsWith("ws:")) ?? false;
  if (ca === undefined && !isLocal) {
    refuse(
      `${way} without --ca`,
      "the fingerprint that serve printed, by which the right server is known from others",
    );
  }
}

/** The server's address, as the local network tells it, or a worker. */
async function found(
  { discover, via, ca }: JoinFlags,
  tell: (text: string) => void,
): Promise<string> {
  if (via !== undefined) {
    const url = await findThroughPeers({ via, ...(ca === undefined ? {} : { ca }) });
    tell(`the server is at ${url}`);
    return url;
  }
  tell("looking for the server in the local network");
  const url = await findServer({
    ca: ca ?? "",
    ...(typeof discover === "string" ? { run: discover } : {}),
  });
  tell(`found it at ${url}`);
  return url;
}

/** Null for an edge server, which trains on what devices send. */
function trainingData(flags: JoinFlags): ReturnType<typeof loadShard> | null {
  if (flags.edge === true && flags.data === undefined) return null;
  if (flags.edge !== true && flags.data !== undefined) {
    const { data, columns } = flags;
    if (isJobFile(data)) {
      const { job, folder } = readJobFile(data);
      if (columns !== undefined) return loadParty(job, columns, folder);
      return loadTraining(job.data, folder);
    }
    const options = pathOptions(flags);
    return columns === undefined ? loadShard(data, options) : loadPartyFile(data, columns, options);
  }
  throw new InputError({
    what: "edgeloom join",
    received: flags.edge === true ? "both --edge and --data" : "neither --data nor --edge",
    allowed: "--data with a device's own samples, or --edge for an edge server, which has none",
  });
}

function wordsOf(event: RejoinerEvent): string {
  switch (event.type) {
    case "welcomed":
      return `joined run ${event.run}; waiting for the others`;
    case "planned": {
      const own = event.plan.copies.filter((copy) => copy.node === event.node);
      const link = event.plan.links.find((candidate) => candidate.from === event.node);
      const share = link?.bytesPerMs == null ? "" : ` over ${formatRate(link.bytesPerMs)}`;
      const kept = own.reduce((sum, { from, to }) => sum + to - from, 0);
      const segments = `${kept} segment${kept === 1 ? "" : "s"}`;
      return `plan, term ${event.plan.term}: ${segments} here${share}`;
    }
    case "way":
      return event.way === "straight"
        ? `data go straight to and from ${event.node}`
        : `data to and from ${event.node} go through the coordinator: ${event.text}`;
    case "round":
      return `round ${event.round + 1}`;
    case "lost":
      return `${event.text}; trying again in ${formatMs(event.retryMs)}`;
  }
}

/** A name for a device that was given none: the machine's own, as far as it is allowed, and the process. */
const machineLabel = (): string =>
  `${hostname()
    .replace(/[^A-Za-z0-9_.-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 40)}-${process.pid}`.replace(/^-/, "device-");
