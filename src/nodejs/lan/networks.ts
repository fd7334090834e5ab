/**
 * The networks that this machine is in, as far as multicast DNS goes: one for each of its IPv4 addresses.
 * They are told apart because a machine is known by another address in each, and because some are
 * bridges of virtual machines in which an address of the others leads nowhere.
 */
import { BlockList } from "node:net";
import { networkInterfaces } from "node:os";

/** A network with this machine in it. */
export interface LocalNetwork {
  /** Of the interface: "eth0". */
  readonly name: string;
  /** This machine's. */
  readonly address: string;
  /** Whether an address is of this network. */
  holds(address: string): boolean;
}

/** @param cidr this machine's address and the length of the network's prefix: "192.168.1.20/24" */
export function localNetwork(name: string, cidr: string): LocalNetwork {
  const [address = "", prefix] = cidr.split("/");
  const subnet = new BlockList();
  subnet.addSubnet(address, Number(prefix));
  return { name, address, holds: (other) => subnet.check(other) };
}

/** The networks of the moment that lead out of this machine; a tunnel to one other machine is none. */
export const localNetworks = (): LocalNetwork[] =>
  Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.flatMap(({ family, internal, cidr }) =>
      family === "IPv4" && !internal && cidr !== null && !cidr.endsWith("/32")
        ? [localNetwork(name, cidr)]
        : [],
    ),
  );
