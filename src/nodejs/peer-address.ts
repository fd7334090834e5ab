/** Addresses of workers, and the certificates that belong to them. */
import { createHash } from "node:crypto";
import type { PeerAddress } from "../run/host.ts";
import { bareHost, isLoopback } from "./reach.ts";

/** Where workers meet at a door. */
export const peerPath = "/peer";

/** What is wrong with an address that is to be a worker's: it is encrypted, or on this machine. Null where nothing is. */
export function misfitOf({ url, fingerprint }: PeerAddress): string | null {
  const parsed = URL.parse(url);
  if (parsed === null || parsed.pathname !== peerPath) return "the address is not one of a worker";
  if (parsed.protocol === "wss:" && fingerprint !== null) return null;
  const name = bareHost(parsed.hostname);
  if (parsed.protocol === "ws:" && isLoopback(name) && fingerprint === null) return null;
  return "the address is neither encrypted nor on this machine";
}

/** SHA-256 of a certificate (base64url). */
export const printOf = ({ raw }: { readonly raw?: Uint8Array }): string =>
  createHash("sha256")
    .update(raw ?? "")
    .digest("base64url");
