/**
 * From where a server can be reached: by default from this machine alone, without
 * encryption; from anywhere else over TLS only, with the user's own certificate or
 * one that this machine makes. Which names a request may use follows from that.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { homedir, hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import type { Identity } from "./certificates.ts";

/** How a server may be reached; everything may be left out. */
export interface ReachOptions {
  /** Address or name to listen on, 0.0.0.0 for all; 127.0.0.1 where absent. */
  readonly host?: string;
  /** Further names and addresses under which this machine is reached, for the own certificate. */
  readonly names?: readonly string[];
  /** Files of the user's certificate and private key, as PEM; an own one is made where absent. */
  readonly cert?: string;
  readonly key?: string;
  /** Folder of the own certificate authority; `~/.config/edgeloom` where absent. */
  readonly state?: string;
}

/** Where a server listens, and what it shows there. */
export interface Reach {
  readonly host: string;
  /** The host that others are told. */
  readonly shown: string;
  /** The name that the user's own certificate is for, which others have to call it by; null without one. */
  readonly certified: string | null;
  /** Null where nothing leaves this machine. */
  readonly identity: Identity | null;
  /** The identity with a certificate that has time left; null where it is the user's to renew. */
  readonly renew: (() => Promise<Identity>) | null;
  /** SHA-256 of the own CA, as join links carry it; null without one. */
  readonly fingerprint: string | null;
  /** Whether a request may call this server so: a page of another site cannot make it do so. */
  isOwnName(name: string): boolean;
}

const loopbackNames = ["localhost", "127.0.0.1", "::1"];

/** Whether a host is this machine, seen from itself. */
export const isLoopback = (host: string): boolean =>
  loopbackNames.includes(host) || /^127\.\d+\.\d+\.\d+$/.test(host);

/** Where a user's settings are kept: `$XDG_CONFIG_HOME/edgeloom` or `~/.config/edgeloom`. */
const stateFolder = (): string =>
  join(process.env.XDG_CONFIG_HOME || join(homedir(), ".config"), "edgeloom");

/**
 * Decides how to be reached, and makes or reads the certificate that it takes.
 * @throws InputError where the certificate cannot be read or made
 */
export async function reachOf(options: ReachOptions): Promise<Reach> {
  const { host = "127.0.0.1", names = [], cert, key, state = stateFolder() } = options;
  if ((cert === undefined) !== (key === undefined)) {
    const received = cert === undefined ? "--key alone" : "--cert alone";
    throw new InputError({ what: "--cert and --key", received, allowed: "both or none" });
  }
  if (isLoopback(host) && cert === undefined) {
    return {
      host,
      shown: host,
      certified: null,
      identity: null,
      renew: null,
      fingerprint: null,
      isOwnName: (name) => isLoopback(name),
    };
  }
  // Only now: most runs stay on one machine and need no certificates.
  const certificates = await import("./certificates.ts");
  const make = (): Promise<Identity> =>
    certificates.ownIdentity(state, certificates.reachableNames(host, names));
  const renew = async (): Promise<Identity> => {
    const renewed = await make();
    // The machine may have other addresses by now: requests may use what the certificate covers.
    isCovered = certificates.coveredBy(renewed.cert);
    return renewed;
  };
  const identity =
    cert === undefined || key === undefined ? await make() : certificates.givenIdentity(cert, key);
  const certified = identity.ca === null ? nameIn(new X509Certificate(identity.cert)) : null;
  let isCovered = certificates.coveredBy(identity.cert);
  return {
    host,
    shown: names[0] ?? certified ?? shownHost(host),
    certified,
    identity,
    renew: identity.ca === null ? null : renew,
    fingerprint: identity.ca === null ? null : certificates.fingerprintOf(identity.ca),
    isOwnName: (name) => isLoopback(name) || isCovered(name),
  };
}

/** The host to tell others: where a server listens on all addresses, the first that leads out. */
export function shownHost(host: string): string {
  if (host !== "0.0.0.0" && host !== "::") return host;
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ internal, family }) => !internal && family === "IPv4")?.address ?? hostname();
}

/** The first name of a certificate that stands for one host. */
const nameIn = (leaf: X509Certificate): string | null =>
  /DNS:([A-Za-z0-9.-]+)/.exec(leaf.subjectAltName ?? "")?.[1] ?? null;

/** A host as a URL has it, without the brackets of IPv6. */
export const bareHost = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, "$1");

/** A host as URLs write it: IPv6 addresses in brackets. */
export const inUrl = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host);
