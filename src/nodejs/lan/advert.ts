/**
 * What a server tells the local network of itself, as records of DNS-based service discovery (RFC 6763):
 * that it is there (PTR), at which port (SRV) and address (A), for which run and with which protocol
 * (TXT). It tells no secret: whoever reads it knows where to knock, and needs a token as before. And who
 * announces is nobody to be believed: the fingerprint in it is a hint which server to try.
 */
import * as z from "zod/mini";
import type { ProtocolVersions } from "../../run/wire/messages.ts";
import { type DnsPacket, type DnsRecord, type DnsRecordOf, isSameName, packetOf } from "./dns.ts";

/** Services of Edgeloom: the name under which servers are listed. */
export const serviceName = "_edgeloom._tcp.local";
/** Under which programs that list everything look for kinds of services (RFC 6763, section 9). */
const kindsName = "_services._dns-sd._udp.local";

/** Bytes of one part of a name (RFC 1035, section 2.3.4). */
const labelBytes = 63;
/** Bytes of a run's name in a TXT string, which holds 255 with its key. */
const runBytes = 200;
/** Seconds for which records hold (RFC 6762, section 10): what names an address, and the rest. */
const hostTtl = 120;
const otherTtl = 4_500;

/** What a server tells of itself. */
export interface Advert {
  readonly run: string;
  readonly port: number;
  readonly protocols: ProtocolVersions;
  /** Fingerprint of its own certificate authority; null where its certificate is of another. */
  readonly ca: string | null;
  /** The name that its certificate is for, where that is not its address. */
  readonly host: string | null;
}

/** The names that a server has taken in a network. */
export interface AdvertName {
  /** What people read. */
  readonly label: string;
  /** Of the machine, and of this process alone: the machine's own name is for others to announce. */
  readonly target: string;
}

/** A server's records in one network. */
export interface AdvertRecords {
  readonly ptr: DnsRecordOf<"PTR">;
  readonly srv: DnsRecordOf<"SRV">;
  readonly txt: DnsRecordOf<"TXT">;
  readonly a: DnsRecordOf<"A">;
}

/** @param address this machine's in the network */
export function recordsOf(advert: Advert, name: AdvertName, address: string): AdvertRecords {
  const { port, run, protocols, ca, host } = advert;
  const { label, target } = name;
  const own = `${label}.${serviceName}`;
  const texts = [
    "txtvers=1",
    `run=${cutTo(runBytes, printable(run))}`,
    `protocol=${protocols.from}-${protocols.to}`,
    ...(ca === null ? [] : [`ca=${ca}`]),
    ...(host === null ? [] : [`host=${host}`]),
  ];
  const data = texts.map((text) => new TextEncoder().encode(text));
  return {
    ptr: { name: serviceName, type: "PTR", ttl: otherTtl, data: own },
    srv: { name: own, type: "SRV", ttl: hostTtl, flush: true, data: { port, target } },
    txt: { name: own, type: "TXT", ttl: otherTtl, flush: true, data },
    a: { name: target, type: "A", ttl: hostTtl, flush: true, data: address },
  };
}

/** What people read: a run and where it is. @param suffix tells it from another of the same name */
export function labelOf(run: string, machine: string, suffix = ""): string {
  // A dot would end the part of the name, for some who read it.
  const plain = printable(`${run} on ${machine.split(".")[0]}`).replaceAll(".", "-");
  return cutTo(labelBytes - suffix.length, plain) + suffix;
}

const printable = (text: string): string => text.replace(/\p{C}/gu, "");

/** As many whole characters as so many bytes of UTF-8 hold. */
function cutTo(bytes: number, text: string): string {
  const into = new Uint8Array(bytes);
  return text.slice(0, new TextEncoder().encodeInto(text, into).read);
}

/** The response to a query, or null where it asks nothing of this server that it does not know (section 7.1). */
export function answerTo(
  { questions, answers: known }: DnsPacket,
  { ptr, srv, txt, a }: AdvertRecords,
): DnsPacket | null {
  const kinds: DnsRecord = { name: kindsName, type: "PTR", ttl: otherTtl, data: serviceName };
  const answers = [kinds, ptr, srv, txt, a].filter(
    (record) =>
      questions.some(
        ({ name, type }) =>
          isSameName(name, record.name) && (type === record.type || type === "ANY"),
      ) && !known.some((other) => isKnown(record, other)),
  );
  if (answers.length === 0) return null;
  // What whoever asks for the first will ask for next (RFC 6763, section 12).
  const next = answers.includes(ptr) ? [srv, txt, a] : answers.includes(srv) ? [a] : [];
  const additionals = next.filter((record) => !answers.includes(record));
  return packetOf("response", { answers, additionals });
}

const isKnown = (record: DnsRecord, other: DnsRecord): boolean =>
  record.type === "PTR" &&
  other.type === "PTR" &&
  isSameName(record.name, other.name) &&
  isSameName(record.data, other.data) &&
  2 * other.ttl >= record.ttl;

/** Whether somebody else uses, or is about to use, the server's name. */
export const isTaken = (packet: DnsPacket, { srv }: AdvertRecords): boolean =>
  [...packet.answers, ...packet.authorities, ...packet.additionals].some(
    (record) =>
      record.type === "SRV" &&
      isSameName(record.name, srv.name) &&
      !isSameName(record.data.target, srv.data.target),
  );

/** A name, and no address in any of the ways in which those can be written: all end in a number. */
const hostPattern = /^(?:[A-Za-z0-9-]{1,63}\.){0,8}[A-Za-z][A-Za-z0-9-]{0,62}$/;

const textSchema = z.object({
  txtvers: z.literal("1"),
  run: z.string().check(z.regex(/^\P{C}{1,200}$/u)),
  protocol: z.string().check(z.regex(/^\d{1,5}-\d{1,5}$/)),
  ca: z.optional(z.string().check(z.regex(/^[\w-]{43}$/))),
  host: z.optional(z.string().check(z.regex(hostPattern))),
});

/** Reads the strings of a TXT record; null where they are not a server's. */
export function readTexts(texts: readonly Uint8Array[]): Omit<Advert, "port"> | null {
  const fields = new Map<string, string>();
  for (const bytes of texts) {
    const [, key, value] = /^([^=]+)=(.*)$/su.exec(new TextDecoder().decode(bytes)) ?? [];
    if (key === undefined || value === undefined) continue;
    // Of two with one key the first holds (RFC 6763, section 6.4).
    if (!fields.has(key.toLowerCase())) fields.set(key.toLowerCase(), value);
  }
  const read = textSchema.safeParse(Object.fromEntries(fields));
  if (!read.success) return null;
  const { run, protocol, ca = null, host = null } = read.data;
  const [from = 0, to = 0] = protocol.split("-").map(Number);
  return { run, protocols: { from, to }, ca, host };
}

const ownName = new RegExp(`^([^\\p{C}.]{1,${labelBytes}})\\.${RegExp.escape(serviceName)}$`, "iu");

/** What people read in a server's name; null where it is none that can be asked for. */
export function labelIn(name: string): string | null {
  const label = ownName.exec(name)?.[1];
  if (label === undefined || new TextEncoder().encode(label).length > labelBytes) return null;
  return label;
}

/** Whether a name of a machine can be asked for. */
export const isTarget = (name: string): boolean => /^[A-Za-z0-9-]{1,63}\.local$/.test(name);
