/**
 * Finds servers that announce themselves in the local networks: asks who is there, listens, and asks
 * again with growing pauses (RFC 6762, section 5.2).
 */
import { ServerCache, type ServerInReach } from "./cache.ts";
import { multicastPort } from "./dns.ts";
import type { Multicast } from "./multicast.ts";
import { type LocalNetwork, localNetworks } from "./networks.ts";

const firstPauseMs = 1_000;
/** Short enough to ask again before an address expires. */
const pauseMsMax = 60_000;

/** Where to look for servers, and who is told. */
export interface QuerierOptions {
  /** Called whenever something has been heard. */
  readonly onHeard?: () => void;
  /** The networks of the moment; those of this machine where absent. */
  readonly networks?: () => readonly LocalNetwork[];
}

/** Looks for servers until it is closed. */
export interface Querier {
  /** The servers of this moment. */
  servers(): ServerInReach[];
  /** Why nothing can be heard, in words; null where something can. */
  problem(): string | null;
  close(): void;
}

/** Starts to look for servers. */
export async function startQuerier(options: QuerierOptions = {}): Promise<Querier> {
  const { networks = localNetworks, onHeard = () => {} } = options;
  // Only now: most commands look for nobody.
  const { openMulticast } = await import("./multicast.ts");
  const cache = new ServerCache();
  const sockets = new Set<Multicast>();
  let failure = "this machine is in no IPv4 network now";
  for (const network of networks()) {
    const socket = openMulticast(network, {
      onPacket(packet, { address, port }) {
        // Responses come from no other port (section 6); what does is not for us.
        if (packet.type !== "response" || port !== multicastPort) return;
        cache.add(packet, address, Date.now());
        onHeard();
      },
      onFailure(text) {
        failure = text;
        sockets.delete(socket);
      },
    });
    sockets.add(socket);
  }
  let pauseMs = firstPauseMs;
  const ask = (): void => {
    const query = cache.query(Date.now());
    for (const socket of sockets) socket.send(query);
    timer = setTimeout(ask, pauseMs);
    pauseMs = Math.min(2 * pauseMs, pauseMsMax);
  };
  let timer: NodeJS.Timeout;
  ask();
  return {
    servers: () => cache.servers(Date.now()),
    problem: () => (sockets.size === 0 ? failure : null),
    close() {
      clearTimeout(timer);
      for (const socket of sockets) socket.close();
    },
  };
}

/** How long to listen. */
export interface DiscoverOptions {
  readonly listenMs: number;
}

/** What was found in a time. */
export interface Discovered {
  /** In the order in which they were heard. */
  readonly servers: readonly ServerInReach[];
  /** Why nothing could be heard, in words; null where it could. */
  readonly problem: string | null;
}

/** Listens for so long to the servers that announce themselves in the local networks. */
export const discover = (options: DiscoverOptions): Promise<Discovered> => discoverIn({}, options);

/** {@link discover} in given networks. */
export async function discoverIn(
  where: QuerierOptions,
  { listenMs }: DiscoverOptions,
): Promise<Discovered> {
  const querier = await startQuerier(where);
  await new Promise((resolve) => setTimeout(resolve, listenMs));
  const found = { servers: querier.servers(), problem: querier.problem() };
  querier.close();
  return found;
}
