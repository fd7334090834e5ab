/**
 * Finds the one server in the local networks that a token is for. Announcements only say where to try:
 * the server is the one that proves, in TLS, to have a certificate of the authority that the user names.
 * So whoever announces falsely can make us knock in vain, and nothing more; no token is shown here.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { InputError, messageOf } from "../../base/errors.ts";
import { commonVersion, protocolVersions } from "../../run/wire/messages.ts";
import { isFingerprint, provesItself } from "../address.ts";
import type { ServerInReach } from "./cache.ts";
import { type QuerierOptions, startQuerier } from "./discover.ts";

/** Servers that are heard with a second's delay, at most, are counted before one of several is taken. */
const settleMs = 1_500;
const defaultPatienceMs = 10_000;
/** Addresses that are tried: an honest network has a few. */
const addressesMax = 16;
/** How often each is, and the first pause: a server that comes into another network needs a new certificate. */
const triesMax = 4;
const pauseMs = 1_000;

/** Which server to find. */
export interface FindOptions {
  /** The server's certificate authority: its fingerprint, or the path of its certificate (PEM). */
  readonly ca: string;
  /** Name of its run, where several are served under this authority. */
  readonly run?: string;
  /** How long to look; ten seconds where absent. */
  readonly patienceMs?: number;
}

/**
 * Looks for a server in the local networks.
 * @returns where workers connect to it
 * @throws InputError where none proves itself in time, or several do
 */
export const findServer = (options: FindOptions): Promise<string> => findServerIn({}, options);

/** {@link findServer} in given networks. */
export async function findServerIn(where: QuerierOptions, options: FindOptions): Promise<string> {
  const { patienceMs = defaultPatienceMs } = options;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const search = new Search(options, { found: resolve, refused: reject });
  const querier = await startQuerier({
    ...where,
    onHeard: () => search.heard(querier.servers()),
  });
  const giveUp = (): void => search.giveUp(querier.problem(), patienceMs);
  const settled = setTimeout(() => {
    if (querier.problem() === null) search.settle();
    else giveUp();
  }, settleMs);
  const over = setTimeout(giveUp, patienceMs);
  try {
    return await promise;
  } finally {
    clearTimeout(settled);
    clearTimeout(over);
    querier.close();
    search.close();
  }
}

interface SearchEnd {
  found(url: string): void;
  refused(error: InputError): void;
}

/** What is known of the servers that may be the one. */
class Search {
  readonly #options: FindOptions;
  readonly #end: SearchEnd;
  readonly #tried = new Set<string>();
  /** Servers that have proved themselves: the run by the address. */
  readonly #proved = new Map<string, string>();
  /** Why others are not the one. */
  readonly #reasons = new Map<string, string>();
  readonly #over = new AbortController();
  #isSettled = false;

  constructor(options: FindOptions, end: SearchEnd) {
    this.#options = options;
    this.#end = end;
  }

  heard(servers: readonly ServerInReach[]): void {
    for (const server of servers) {
      const misfit = this.#misfitOf(server);
      for (const url of server.urls) {
        if (misfit === null) void this.#try(url, server.run);
        else this.#reasons.set(url, misfit);
      }
    }
  }

  /** From now on one that proves itself is enough. */
  settle(): void {
    this.#isSettled = true;
    this.#decide();
  }

  /** Whoever has not answered by now need not. */
  close(): void {
    this.#over.abort();
  }

  giveUp(problem: string | null, patienceMs: number): void {
    const { run } = this.#options;
    const wanted = `a server${run === undefined ? "" : ` of the run ${run}`} with this authority`;
    const others = [...this.#reasons].slice(0, 4).map(([url, why]) => `${url} ${why}`);
    const heard = others.length === 0 ? "nobody" : others.join("; ");
    this.#end.refused(
      new InputError({
        what: "--discover",
        received: problem ?? `${heard} in the local network within ${patienceMs / 1000} s`,
        allowed: `${wanted}, announced in the same network; edgeloom discover lists who is, and its address does without`,
      }),
    );
  }

  #misfitOf({ run, ca, protocols }: ServerInReach): string | null {
    const { ca: wanted, run: wantedRun } = this.#options;
    if (wantedRun !== undefined && run !== wantedRun) return `serves ${run}`;
    if (isFingerprint(wanted) && ca !== wanted) return "has another authority";
    if (commonVersion(protocols, protocolVersions) === null) return "is of another release";
    return null;
  }

  async #try(url: string, run: string): Promise<void> {
    if (this.#tried.has(url) || this.#tried.size === addressesMax) return;
    this.#tried.add(url);
    const { signal } = this.#over;
    const address = { host: new URL(url).host, isSecure: true, token: "", ca: this.#options.ca };
    for (let tries = 0; tries < triesMax && !signal.aborted; tries++) {
      try {
        await provesItself(address, signal);
        this.#proved.set(url, run);
        this.#reasons.delete(url);
        return this.#decide();
      } catch (error) {
        this.#reasons.set(url, `does not prove to be it (${messageOf(error)})`);
      }
      await sleep(pauseMs * 2 ** tries, undefined, { ref: false });
    }
  }

  #decide(): void {
    const [first] = this.#proved.keys();
    if (first === undefined) return;
    if (this.#options.run !== undefined) return this.#end.found(first);
    if (!this.#isSettled) return;
    const runs = new Set(this.#proved.values());
    if (runs.size === 1) return this.#end.found(first);
    this.#end.refused(
      new InputError({
        what: "--discover",
        received: `${runs.size} runs in the local network: ${[...runs].join(", ")}`,
        allowed: "the name of one of them behind --discover, the one that the token is for",
      }),
    );
  }
}
