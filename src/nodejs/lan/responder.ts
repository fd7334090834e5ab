/**
 * Announces a server in one network, and answers who asks (RFC 6762). First it makes sure that its name is
 * free (section 8.1); another name is as good, so where two want one, both take others. Then it says
 * what there is, twice, and answers questions: after a moment, since others may answer, too, and no
 * sooner than a second after the last time (section 6), however often it is asked; only who wants the same
 * name hears at once that it is in use. As it ends it takes everything back (section 10.1).
 */
import {
  type Advert,
  type AdvertName,
  type AdvertRecords,
  answerTo,
  isTaken,
  recordsOf,
} from "./advert.ts";
import { type DnsPacket, type DnsRecord, multicastPort, packetOf } from "./dns.ts";
import type { Endpoint, Multicast, OpenMulticast } from "./multicast.ts";
import type { LocalNetwork } from "./networks.ts";

const probes = 3;
const probeMs = 250;
const repeatMs = 1_000;
/** Between two answers to all, and between two to those who are about to take the name. */
const answerMs = 1_000;
const defenceMs = 250;
/** A moment drawn at random, for not everybody is to answer at once. */
const answerDelayMs = { from: 20, to: 120 };
/** Seconds for which programs keep an answer that are no peers of multicast DNS (section 6.7). */
const strangerTtl = 10;
/** Between two answers to such programs; what they ask in between is not answered. */
const strangerMs = 100;
/** After so many others with its name, somebody only wants to disturb. */
const namesMax = 10;

/** Clock, timers and chance. */
export interface ResponderWorld {
  readonly open: OpenMulticast;
  now(): number;
  /** The answer cancels it. */
  after(delayMs: number, fire: () => void): () => void;
  /** From 0 to 1. */
  random(): number;
}

/** What a responder is to announce, and whom it tells. */
export interface ResponderOptions {
  readonly advert: Advert;
  readonly network: LocalNetwork;
  /** A name that has not been given before. */
  drawName(): AdvertName;
  onAnnounced(label: string): void;
  onFailure(text: string): void;
}

/** A server's voice in one network. */
export class Responder {
  readonly #options: ResponderOptions;
  readonly #world: ResponderWorld;
  readonly #multicast: Multicast;
  readonly #timers = new Set<() => void>();
  #name: AdvertName;
  #records: AdvertRecords;
  #phase: "probing" | "announced" | "closed" = "probing";
  #names = 1;
  #answeredMs = Number.NEGATIVE_INFINITY;
  #defendedMs = Number.NEGATIVE_INFINITY;
  #strangerMs = Number.NEGATIVE_INFINITY;
  /** What the answer under way will hold, by name and type. */
  #due: Map<string, DnsRecord> | null = null;

  constructor(options: ResponderOptions, world: ResponderWorld) {
    this.#options = options;
    this.#world = world;
    this.#name = options.drawName();
    this.#records = this.#draw();
    this.#multicast = world.open(options.network, {
      onPacket: (packet, from) => this.#hear(packet, from),
      onFailure: (text) => {
        this.#end();
        options.onFailure(text);
      },
    });
    this.#in(world.random() * probeMs, () => this.#probe(1));
  }

  /** Takes back what was announced. */
  close(): void {
    if (this.#phase === "announced") {
      const answers = Object.values(this.#records).map((record) => ({ ...record, ttl: 0 }));
      this.#multicast.send(packetOf("response", { answers }));
    }
    this.#end();
    this.#multicast.close();
  }

  #end(): void {
    this.#phase = "closed";
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #in(delayMs: number, fire: () => void): void {
    const cancel = this.#world.after(delayMs, () => {
      this.#timers.delete(cancel);
      fire();
    });
    this.#timers.add(cancel);
  }

  #draw(): AdvertRecords {
    const { advert, network } = this.#options;
    return recordsOf(advert, this.#name, network.address);
  }

  #probe(number: number): void {
    const { srv, txt } = this.#records;
    if (number > probes) return this.#announce();
    this.#in(probeMs, () => this.#probe(number + 1));
    const questions = [{ name: srv.name, type: "ANY" }];
    this.#multicast.send(packetOf("query", { questions, authorities: [srv, txt] }));
  }

  #announce(): void {
    this.#phase = "announced";
    const say = (): void => {
      this.#multicast.send(packetOf("response", { answers: Object.values(this.#records) }));
      this.#answeredMs = this.#world.now();
    };
    say();
    this.#in(repeatMs, say);
    this.#options.onAnnounced(this.#name.label);
  }

  #hear(packet: DnsPacket, from: Endpoint): void {
    if (this.#phase === "probing" && isTaken(packet, this.#records)) return this.#rename();
    if (this.#phase !== "announced" || packet.type !== "query") return;
    const answer = answerTo(packet, this.#records);
    if (answer === null) return;
    if (isTaken(packet, this.#records)) this.#defend(answer);
    else if (from.port === multicastPort) this.#answerAll(answer);
    else this.#answerStranger(packet, answer, from);
  }

  #rename(): void {
    if (this.#names === namesMax) {
      this.#end();
      this.#multicast.close();
      const { name } = this.#options.network;
      return this.#options.onFailure(`every name that was tried is taken on ${name}`);
    }
    this.#names++;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#name = this.#options.drawName();
    this.#records = this.#draw();
    this.#in(this.#world.random() * probeMs, () => this.#probe(1));
  }

  #answerAll({ answers, additionals }: DnsPacket): void {
    const isUnderWay = this.#due !== null;
    this.#due ??= new Map();
    for (const record of [...answers, ...additionals]) {
      this.#due.set(`${record.name} ${record.type}`, record);
    }
    if (isUnderWay) return;
    const { from, to } = answerDelayMs;
    const restMs = this.#answeredMs + answerMs - this.#world.now();
    this.#in(Math.max(restMs, from + this.#world.random() * (to - from)), () => {
      this.#multicast.send(packetOf("response", { answers: [...(this.#due?.values() ?? [])] }));
      this.#due = null;
      this.#answeredMs = this.#world.now();
    });
  }

  /** Whoever is about to take the name waits for less than a second to hear that it is in use. */
  #defend(answer: DnsPacket): void {
    const nowMs = this.#world.now();
    if (nowMs < this.#defendedMs + defenceMs) return;
    this.#defendedMs = nowMs;
    this.#multicast.send(answer);
  }

  /** A program that asks once, from a port of its own, understands plain DNS alone. */
  #answerStranger({ id, questions }: DnsPacket, answer: DnsPacket, to: Endpoint): void {
    if (this.#world.now() < this.#strangerMs + strangerMs) return;
    this.#strangerMs = this.#world.now();
    const plain = (records: readonly DnsRecord[]): DnsRecord[] =>
      records.map((record) => ({
        ...record,
        ttl: Math.min(record.ttl, strangerTtl),
        flush: false,
      }));
    const { answers, additionals } = answer;
    this.#multicast.send(
      { ...answer, id, questions, answers: plain(answers), additionals: plain(additionals) },
      to,
    );
  }
}
