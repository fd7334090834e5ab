/** A local network with a clock of its own: what one member sends, all hear at once, the sender included. */
import { type DnsPacket, multicastPort } from "../src/nodejs/lan/dns.ts";
import type { Endpoint, MulticastEvents, OpenMulticast } from "../src/nodejs/lan/multicast.ts";
import { localNetwork } from "../src/nodejs/lan/networks.ts";
import type { ResponderWorld } from "../src/nodejs/lan/responder.ts";

/** A packet with where it came from and went, and when. */
export interface Sent {
  readonly atMs: number;
  readonly from: string;
  /** Undefined for all. */
  readonly to: Endpoint | undefined;
  readonly packet: DnsPacket;
}

export class Lan {
  nowMs = 0;
  readonly sent: Sent[] = [];
  readonly #members = new Map<string, MulticastEvents>();
  readonly #timers = new Set<{ readonly dueMs: number; readonly fire: () => void }>();

  /** Opens multicast with the address of the network given. */
  readonly open: OpenMulticast = ({ address }, events) => {
    this.#members.set(address, events);
    return {
      send: (packet, to) => {
        this.sent.push({ atMs: this.nowMs, from: address, to, packet });
        if (to === undefined) this.say(packet, { address, port: multicastPort });
      },
      close: () => this.#members.delete(address),
    };
  };

  /** All but the network, for a responder; chance always gives the same. */
  readonly world: ResponderWorld = {
    open: this.open,
    now: () => this.nowMs,
    after: (delayMs, fire) => {
      const timer = { dueMs: this.nowMs + delayMs, fire };
      this.#timers.add(timer);
      return () => this.#timers.delete(timer);
    },
    random: () => 0.5,
  };

  /** Lets all members hear a packet. */
  say(packet: DnsPacket, from: Endpoint): void {
    for (const { onPacket } of [...this.#members.values()]) onPacket(packet, from);
  }

  /** Lets multicast fail for the member with this address. */
  fail(address: string, text: string): void {
    this.#members.get(address)?.onFailure(text);
  }

  /** Whether a member has it open. */
  has(address: string): boolean {
    return this.#members.has(address);
  }

  run(forMs: number): void {
    const untilMs = this.nowMs + forMs;
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined || next.dueMs > untilMs) break;
      this.#timers.delete(next);
      this.nowMs = next.dueMs;
      next.fire();
    }
    this.nowMs = untilMs;
  }
}

/** A network that a machine with this address is in. */
export const networkAt = (address: string) => localNetwork("lan", `${address}/24`);
