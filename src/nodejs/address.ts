/**
 * Addresses of servers as people paste them, with token and trust in the fragment,
 * which browsers and proxies never send: `wss://host:port/#token=...&ca=...`. A server
 * with a certificate authority of its own is trusted by the authority's fingerprint: its
 * certificate may come from anywhere, for only one has that fingerprint, and from then
 * on TLS is checked as always. So no machine's trust store has to be touched.
 */
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request } from "node:https";
import { InputError, messageOf } from "../base/errors.ts";
import { bareHost, isLoopback } from "./reach.ts";

/** A server, what to show it, and why to believe that it is the one. */
export interface ServerAddress {
  /** "host:port". */
  readonly host: string;
  readonly isSecure: boolean;
  readonly token: string;
  /** SHA-256 of its CA's certificate (base64url), or the path of a PEM file; null for the system's authorities. */
  readonly ca: string | null;
}

/** What beside the address itself is known, from flags. */
export interface AddressFlags {
  readonly token?: string | undefined;
  readonly ca?: string | undefined;
}

const fingerprint = /^[\w-]{43}$/;

/** Whether a `ca` is a fingerprint, and not the path of a file. */
export const isFingerprint = (ca: string): boolean => fingerprint.test(ca);

const fetchTimeoutMs = 10_000;
const certificateBytesMax = 16 * 1024;

/**
 * Reads an address that serve printed, for workers (ws:, wss:) or for the page (http:, https:).
 * @param what names it in errors
 * @throws InputError where it is none, has no token, or would send the token unencrypted
 */
export function readAddress(what: string, text: string, flags: AddressFlags = {}): ServerAddress {
  const parsed = URL.parse(text);
  const fragment = new URLSearchParams(parsed?.hash.slice(1));
  const token = flags.token ?? fragment.get("token");
  const refuse = (why: string, allowed: string): never => {
    throw new InputError({ what, received: `${text}${why}`, allowed });
  };
  if (parsed === null || !/^(ws|http)s?:$/.test(parsed.protocol) || parsed.host === "") {
    return refuse("", "the address that serve printed, such as ws://127.0.0.1:7070/#token=...");
  }
  if (token === null) return refuse(" without a token", "an address with #token=..., as printed");
  const isSecure = /^(wss|https):$/.test(parsed.protocol);
  if (!isSecure && !isLoopback(bareHost(parsed.hostname))) {
    return refuse("", "wss: or https: for another machine; the token would go unencrypted");
  }
  return { host: parsed.host, isSecure, token, ca: flags.ca ?? fragment.get("ca") };
}

/** What TLS is to trust for an address: nothing but its own authority, where it names one. */
export interface Trust {
  readonly ca?: string;
}

/**
 * @param signal ends the asking early
 * @throws InputError where the authority cannot be read, or is another one
 */
export async function trustOf(
  { host, isSecure, ca }: ServerAddress,
  signal?: AbortSignal,
): Promise<Trust> {
  if (!isSecure || ca === null) return {};
  if (!isFingerprint(ca)) return { ca: readAuthority(ca) };
  const refuse = (received: string): never => {
    throw new InputError({
      what: "certificate authority of the server",
      received,
      allowed: `the one with the fingerprint ${ca}, as the printed link says`,
    });
  };
  const der = await fetchAuthority(host, signal).catch((error: unknown) =>
    refuse(`none from ${host} (${messageOf(error)})`),
  );
  const found = createHash("sha256").update(der).digest("base64url");
  if (found !== ca) refuse(`one with the fingerprint ${found} from ${host}`);
  return { ca: new X509Certificate(der).toString() };
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new InputError({
      what: "--ca",
      received: `${path} (${messageOf(error)})`,
      allowed: "a PEM file, or the fingerprint that serve printed",
    });
  }
}

/** The CA's certificate as the server hands it out; whether it is the one is checked by its fingerprint. */
function fetchAuthority(host: string, signal: AbortSignal | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      `https://${host}/ca.crt`,
      { rejectUnauthorized: false, agent: false, timeout: fetchTimeoutMs, signal },
      (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on("data", (part: Buffer) => {
          parts.push(part);
          bytes += part.length;
          if (bytes > certificateBytesMax) asked.destroy(new Error("it is no certificate"));
        });
        response.on("error", reject);
        response.on("end", () => {
          if (response.statusCode === 200) resolve(Buffer.concat(parts));
          else reject(new Error(`it answered ${response.statusCode}`));
        });
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("it does not answer")));
    asked.on("error", reject);
    asked.end();
  });
}

/**
 * Resolves where the server at an address proves to be the one that its `ca` makes trustworthy; rejects where not.
 * @param signal ends the asking early
 */
export async function provesItself(address: ServerAddress, signal: AbortSignal): Promise<void> {
  const trust = await trustOf(address, signal);
  return new Promise((resolve, reject) => {
    const asked = request(
      `https://${address.host}/ca.crt`,
      { method: "HEAD", agent: false, timeout: fetchTimeoutMs, signal, ...trust },
      (response) => {
        response.resume();
        resolve();
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("it does not answer")));
    asked.on("error", reject);
    asked.end();
  });
}

/** The URL of a WebSocket at a server. */
export const socketUrl = ({ host, isSecure }: ServerAddress, path = "/"): string =>
  `${isSecure ? "wss" : "ws"}://${host}${path}`;

/** What a server answered. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Sends a request with the address's token. Rejects where nobody answers. */
export async function ask(
  address: ServerAddress,
  method: "GET" | "POST",
  path: string,
  body?: object,
): Promise<Answer> {
  const trust = await trustOf(address);
  const send = address.isSecure ? request : httpRequest;
  const url = `${address.isSecure ? "https" : "http"}://${address.host}${path}`;
  const headers = { authorization: `Bearer ${address.token}`, "content-type": "application/json" };
  return new Promise((resolve, reject) => {
    const asked = send(
      url,
      { method, headers, agent: false, timeout: fetchTimeoutMs, ...trust },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => {
          text += part;
        });
        response.on("error", reject);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("it does not answer")));
    asked.on("error", reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
