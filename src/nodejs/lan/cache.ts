/**
 * What has been heard of servers in the local network: records until they expire, and the servers that
 * they come to. Anybody can send any record, so everything has a limit, and what is beyond it is not kept.
 */
import { BlockList } from "node:net";
import { type Advert, isTarget, labelIn, readTexts, serviceName } from "./advert.ts";
import {
  type DnsPacket,
  type DnsRecord,
  type DnsRecordOf,
  isSameName,
  packetOf,
  type Question,
} from "./dns.ts";

const serversMax = 64;
const addressesMax = 8;
/** Records that a query says are known, so that it fits one packet. */
const knownMax = 16;
/** Addresses that are no other machine's: who names one means somebody else than itself. */
const ownAddresses = new BlockList();
for (const [address, prefix] of [
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["224.0.0.0", 3],
] as const) {
  ownAddresses.addSubnet(address, prefix);
}
/** Longest time for which a record is kept, in seconds: that of RFC 6762, section 10. */
const ttlMax = 4_500;

/** A server that is announced in a local network. Anybody can announce anything: see `docs/security.md`. */
export interface ServerInReach {
  /** What people read. */
  readonly name: string;
  /** Name of its run. */
  readonly run: string;
  /** Where workers connect; the same server by each of its addresses. */
  readonly urls: readonly string[];
  /** Versions of the protocol that it speaks, both ends included. */
  readonly protocols: { readonly from: number; readonly to: number };
  /** Fingerprint that it gives of its certificate authority; null where it has none of its own. */
  readonly ca: string | null;
  /** Unix time in milliseconds at which it was heard first. */
  readonly seenSince: number;
}

interface Expiring<T> {
  readonly value: T;
  readonly untilMs: number;
}

interface Entry {
  readonly label: string;
  /** The name as it was written. */
  readonly name: string;
  readonly seenSince: number;
  untilMs: number;
  srv: Expiring<DnsRecordOf<"SRV">["data"]> | null;
  txt: Expiring<Omit<Advert, "port">> | null;
  /** Of the machine that `srv` names. */
  readonly addresses: Map<string, number>;
}

/** Records of servers. Times are Unix times in milliseconds. */
export class ServerCache {
  readonly #entries = new Map<string, Entry>();

  /**
   * Keeps what a response tells.
   * @param from address of its sender
   */
  add(packet: DnsPacket, from: string, nowMs: number): void {
    if (packet.type !== "response") return;
    this.#expire(nowMs);
    const records = [...packet.answers, ...packet.additionals];
    // Each kind says what the next is about, whatever their order in the packet.
    for (const record of records) if (record.type === "PTR") this.#addServer(record, nowMs);
    for (const record of records) this.#addPlace(record, nowMs);
    for (const record of records) {
      if (record.type !== "A") continue;
      if (record.data === from || !ownAddresses.check(record.data)) this.#addAddress(record, nowMs);
    }
  }

  /** Servers of which everything is known, in the order in which they were heard. */
  servers(nowMs: number): ServerInReach[] {
    this.#expire(nowMs);
    return [...this.#entries.values()].flatMap(({ label, seenSince, srv, txt, addresses }) => {
      if (srv === null || txt === null || addresses.size === 0) return [];
      const { host, run, protocols, ca } = txt.value;
      const hosts = host === null ? [...addresses.keys()] : [host];
      const urls = hosts.map((name) => `wss://${name}:${srv.value.port}`);
      return [{ name: label, run, urls, protocols, ca, seenSince }];
    });
  }

  /** What to ask next: who else is there, and what is missing of those that are known. */
  query(nowMs: number): DnsPacket {
    this.#expire(nowMs);
    const entries = [...this.#entries.values()];
    const missing = entries.flatMap(({ name, srv, txt, addresses }): Question[] => {
      if (srv === null || txt === null) return [{ name, type: "ANY" }];
      return addresses.size === 0 ? [{ name: srv.value.target, type: "A" }] : [];
    });
    const answers = entries
      .filter(({ srv, txt, addresses }) => srv !== null && txt !== null && addresses.size > 0)
      .slice(0, knownMax)
      .map(({ name, untilMs }): DnsRecord => {
        const ttl = Math.floor((untilMs - nowMs) / 1000);
        return { name: serviceName, type: "PTR", ttl, data: name };
      });
    const questions = [{ name: serviceName, type: "PTR" }, ...missing.slice(0, knownMax)];
    return packetOf("query", { questions, answers });
  }

  #addServer({ name, data, ttl }: DnsRecordOf<"PTR">, nowMs: number): void {
    const label = labelIn(data);
    if (!isSameName(name, serviceName) || label === null) return;
    const key = data.toLowerCase();
    // It says goodbye.
    if (ttl === 0) return void this.#entries.delete(key);
    const known = this.#entries.get(key);
    const untilMs = untilOf(ttl, nowMs);
    if (known !== undefined) known.untilMs = untilMs;
    else if (this.#entries.size < serversMax) {
      const addresses = new Map<string, number>();
      const entry = { label, name: data, seenSince: nowMs, untilMs, srv: null, txt: null };
      this.#entries.set(key, { ...entry, addresses });
    }
  }

  #addPlace(record: DnsRecord, nowMs: number): void {
    const entry = this.#entries.get(record.name.toLowerCase());
    if (entry === undefined) return;
    const untilMs = untilOf(record.ttl, nowMs);
    if (record.type === "SRV" && isTarget(record.data.target)) {
      const isMoved = entry.srv !== null && entry.srv.value.target !== record.data.target;
      if (isMoved) entry.addresses.clear();
      entry.srv = { value: record.data, untilMs };
    } else if (record.type === "TXT") {
      const value = readTexts(record.data);
      entry.txt = value === null ? null : { value, untilMs };
    }
  }

  #addAddress({ name, data, ttl }: DnsRecordOf<"A">, nowMs: number): void {
    for (const { srv, addresses } of this.#entries.values()) {
      if (srv === null || !isSameName(srv.value.target, name)) continue;
      if (ttl === 0) addresses.delete(data);
      else if (addresses.has(data) || addresses.size < addressesMax) {
        addresses.set(data, untilOf(ttl, nowMs));
      }
    }
  }

  #expire(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      if (entry.untilMs <= nowMs) this.#entries.delete(key);
      if (entry.srv !== null && entry.srv.untilMs <= nowMs) entry.srv = null;
      if (entry.txt !== null && entry.txt.untilMs <= nowMs) entry.txt = null;
      for (const [address, untilMs] of entry.addresses) {
        if (untilMs <= nowMs) entry.addresses.delete(address);
      }
    }
  }
}

const untilOf = (ttl: number, nowMs: number): number => nowMs + 1000 * Math.min(ttl, ttlMax);
