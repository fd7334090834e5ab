/**
 * Where a run's coordinator is, by word of a worker that others reach: who has only the address of such a worker asks at its door, and
 * so do workers whose coordinator has gone elsewhere. The answer says where to try, and nothing more: who is there has to prove, in TLS, to
 * have a certificate of the authority that whoever asks names, before a token is shown. So a worker that
 * lies can make us knock in vain. At the door itself nobody needs a token; who cannot name the run's authority gets no answer.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect as tlsConnect } from "node:tls";
import { InputError, messageOf } from "../base/errors.ts";
import type { PeerAddress } from "../run/host.ts";
import {
  isFingerprint,
  provesItself,
  type ServerAddress,
  socketUrl,
  type Trust,
} from "./address.ts";
import { misfitOf, printOf } from "./peer-address.ts";
import { bareHost, isLoopback } from "./reach.ts";

/** Where a worker's door is asked for its coordinator. */
export const coordinatorPath = "/coordinator";
const answerMs = 5_000;
const answerBytesMax = 4 * 1024;

/** What a worker tells of the coordinator that it is connected to. */
export interface KnownCoordinator {
  /** Where workers connect to it. */
  readonly url: string;
  /** Fingerprint of its authority; null where it is on this machine alone, unencrypted. */
  readonly ca: string | null;
}

/**
 * What may be told of a coordinator; null where nothing may. One whose certificate is of the system's authorities is not told: who
 * went there by a stranger's word could not tell it from any other site.
 */
export function toldOf(address: ServerAddress, { ca }: Trust): KnownCoordinator | null {
  const url = socketUrl(address);
  if (!address.isSecure) return { url, ca: null };
  const known = address.ca !== null && isFingerprint(address.ca) ? address.ca : null;
  const print = known ?? (ca === undefined ? null : printOf({ raw: new X509Certificate(ca).raw }));
  return print === null ? null : { url, ca: print };
}

/** A worker's address as it prints it: the fingerprint of its certificate behind #. @throws InputError */
export function readPeer(text: string): PeerAddress {
  const parsed = URL.parse(text);
  const fingerprint = parsed === null || parsed.hash === "" ? null : parsed.hash.slice(1);
  const [url = ""] = text.split("#");
  const problem = misfitOf({ url, fingerprint });
  if (problem === null) return { url, fingerprint };
  throw new InputError({
    what: "--via",
    received: `${text} (${problem})`,
    allowed: "what a worker printed that listens: wss://HOST:PORT/peer#FINGERPRINT",
  });
}

/** A worker's address, as {@link readPeer} reads it. */
export const printedPeer = ({ url, fingerprint }: PeerAddress): string =>
  fingerprint === null ? url : `${url}#${fingerprint}`;

/**
 * Asks a worker where its coordinator is. Rejects where it does not say, or shows another certificate.
 * @param ca fingerprint of the coordinator's authority; null for one on this machine, unencrypted
 */
export async function askPeer(
  { url, fingerprint }: PeerAddress,
  ca: string | null,
): Promise<string> {
  const { hostname, port, protocol, host } = new URL(url);
  const at = { host: bareHost(hostname), port: Number(port) };
  const signal = AbortSignal.timeout(answerMs);
  const query = `${coordinatorPath}?ca=${ca ?? ""}`;
  const secure = protocol === "wss:" ? await connected(at, fingerprint, signal) : null;
  // An agent would open a connection of its own.
  const ways = secure === null ? { ...at, agent: false } : { createConnection: () => secure };
  const text = await new Promise<string>((resolve, reject) => {
    const asked = httpRequest({ ...ways, path: query, headers: { host }, signal }, (response) => {
      let heard = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        heard += part;
        if (heard.length > answerBytesMax) asked.destroy(new Error("it says too much"));
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(heard);
        else reject(new Error("it knows no coordinator of this authority"));
      });
    });
    asked.on("error", reject);
    asked.end();
  });
  return coordinatorIn(text, ca);
}

/** A connection to who has the certificate with a fingerprint, over which nothing was said. */
function connected(
  at: { host: string; port: number },
  fingerprint: string | null,
  signal: AbortSignal,
): Promise<ReturnType<typeof tlsConnect>> {
  return new Promise((resolve, reject) => {
    // The one certificate with this fingerprint is right, whoever signed it, and any other is wrong.
    const socket = tlsConnect({ ...at, rejectUnauthorized: false });
    signal.addEventListener("abort", () => socket.destroy(new Error("it does not answer")));
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      if (printOf(socket.getPeerCertificate()) === fingerprint) return resolve(socket);
      reject(new Error("it shows a certificate with another fingerprint"));
      socket.destroy();
    });
  });
}

/** The address in an answer, if it is one that a token may be shown at. */
function coordinatorIn(text: string, ca: string | null): string {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    said = null;
  }
  const url = typeof said === "object" && said !== null && "url" in said ? String(said.url) : "";
  const parsed = URL.parse(url);
  const isLocal = parsed?.protocol === "ws:" && isLoopback(bareHost(parsed.hostname));
  if (parsed !== null && (ca === null ? isLocal : parsed.protocol === "wss:")) {
    return `${parsed.protocol}//${parsed.host}`;
  }
  throw new Error("it names no address of a coordinator");
}

/** Which workers to ask, and for which coordinator. */
export interface ThroughPeersOptions {
  /** Addresses of workers, as they print them; the first whose word holds is taken. */
  readonly via: readonly string[];
  /** The coordinator's authority: its fingerprint, or the path of its certificate (PEM); none on this machine. */
  readonly ca?: string;
}

/**
 * Looks for a coordinator by word of workers that are known.
 * @returns where workers connect to it
 * @throws InputError where none of them names one that proves itself
 */
export async function findThroughPeers({ via, ca }: ThroughPeersOptions): Promise<string> {
  const peers = via.map(readPeer);
  const print = ca === undefined ? null : fingerprintIn(ca);
  const heard: string[] = [];
  for (const peer of peers) {
    try {
      const url = await askPeer(peer, print);
      const { host } = new URL(url);
      const address = { host, isSecure: true, token: "", ca: print };
      if (print !== null) await provesItself(address, AbortSignal.timeout(answerMs));
      return url;
    } catch (error) {
      heard.push(`${peer.url}: ${messageOf(error)}`);
    }
  }
  throw new InputError({
    what: "--via",
    received: heard.join("; "),
    allowed: "workers of the run that listen, by the addresses that they printed",
  });
}

function fingerprintIn(ca: string): string {
  if (isFingerprint(ca)) return ca;
  try {
    return printOf({ raw: new X509Certificate(readFileSync(ca)).raw });
  } catch (error) {
    throw new InputError({
      what: "--ca",
      received: `${ca} (${messageOf(error)})`,
      allowed: "a PEM file, or the fingerprint that serve printed",
    });
  }
}

/** Workers that are remembered, and asked at a time, at most. */
const peersMax = 16;
const askedMax = 4;

/** Workers that a run has introduced, for the time when its coordinator is not where it was. */
export class KnownPeers {
  readonly #known = new Map<string, PeerAddress>();

  /** A worker is dialled. */
  add(peer: PeerAddress): void {
    this.#known.delete(peer.url);
    this.#known.set(peer.url, peer);
    for (const url of [...this.#known.keys()].slice(0, -peersMax)) this.#known.delete(url);
  }

  /** Where else the coordinator may be, by word of those who were dialled last. */
  async elsewhere({ url, ca }: KnownCoordinator): Promise<string[]> {
    const peers = [...this.#known.values()].slice(-askedMax);
    const answers = await Promise.allSettled(peers.map((peer) => askPeer(peer, ca)));
    const told = answers.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    return [...new Set(told)].filter((other) => new URL(other).host !== new URL(url).host);
  }
}
