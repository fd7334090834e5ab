/**
 * The seam to multicast-dns, the library that has the format of packets and the socket: one socket for
 * each network, on the port that all programs of this kind share. A socket hears what comes from any
 * network of this machine; by the sender's address all but its own is left out.
 */
import multicastDns from "multicast-dns";
import { type DnsPacket, type DnsRecord, multicastPort, readPacket } from "./dns.ts";
import type { LocalNetwork } from "./networks.ts";

/** Where a packet comes from, or is to go. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** What happens on a network. */
export interface MulticastEvents {
  onPacket(packet: DnsPacket, from: Endpoint): void;
  /** Multicast does not work here, for the reason in words; nothing comes any more. Never before `open` has returned. */
  onFailure(text: string): void;
}

/** A network that packets can be sent to. */
export interface Multicast {
  /** Sends to all, or to one; what cannot be sent is a failure. */
  send(packet: DnsPacket, to?: Endpoint): void;
  /** Nothing is heard from now on; what has been sent still goes out. */
  close(): void;
}

/** Opens multicast DNS on a network. */
export type OpenMulticast = (network: LocalNetwork, events: MulticastEvents) => Multicast;

/** {@link OpenMulticast} over UDP. */
export const openMulticast: OpenMulticast = (network, { onPacket, onFailure }) => {
  // Bound to the network's address, a socket would get nothing that is sent to all.
  const socket = multicastDns({ interface: network.address, bind: "0.0.0.0" });
  let isClosed = false;
  let sending = 0;
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    if (sending === 0) socket.destroy();
  };
  const fail = (error: NodeJS.ErrnoException): void => {
    if (isClosed) return;
    close();
    onFailure(failureWords(error, network));
  };
  const onSent = (error: Error | null): void => {
    sending--;
    if (error !== null && error !== undefined) fail(error);
    if (isClosed && sending === 0) socket.destroy();
  };
  socket.on("error", fail);
  socket.on("warning", (error: NodeJS.ErrnoException) => {
    // Packets that cannot be decoded are warnings, too, and anybody's.
    if (error.syscall !== undefined) fail(error);
  });
  socket.on("packet", (value: unknown, from: Endpoint) => {
    if (isClosed || !network.holds(from.address)) return;
    const packet = readPacket(value);
    if (packet !== null) onPacket(packet, from);
  });
  return {
    send(packet, to) {
      if (isClosed) return;
      sending++;
      const sections = encodable(packet);
      if (packet.type === "query") socket.query(sections, to, onSent);
      else socket.respond(sections, to, onSent);
    },
    close,
  };
};

type Outgoing = multicastDns.QueryOutgoingPacket & multicastDns.ResponseOutgoingPacket;

/** The library changes what it is given, and knows strings of TXT as buffers alone. */
function encodable({ id, questions, answers, authorities, additionals }: DnsPacket): Outgoing {
  const copies = (records: readonly DnsRecord[]) =>
    records.map((record) =>
      record.type === "TXT"
        ? { ...record, data: record.data.map((text) => Buffer.from(text)) }
        : { ...record },
    );
  return {
    id,
    questions: questions.map((question) => ({ ...question })),
    answers: copies(answers),
    authorities: copies(authorities),
    additionals: copies(additionals),
  } as Outgoing;
}

function failureWords(error: NodeJS.ErrnoException, { name, address }: LocalNetwork): string {
  const code = error.code ?? error.message;
  if (code === "EADDRINUSE") return `another program keeps UDP port ${multicastPort} for itself`;
  if (error.syscall === "bind") return `UDP port ${multicastPort} cannot be opened (${code})`;
  return `no multicast on ${name} (${address}: ${code})`;
}
