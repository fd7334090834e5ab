/**
 * Announces a server in all networks that it listens in, and follows them as they come and go: a laptop
 * changes its Wi-Fi while it serves. Where multicast does not work, that is a state in words, and is
 * tried again; the run goes on without.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { type Advert, type AdvertName, labelOf } from "./advert.ts";
import { type LocalNetwork, localNetworks } from "./networks.ts";
import { Responder, type ResponderWorld } from "./responder.ts";

const lookMs = 5_000;

/** Whether others find the server in a local network. */
export type AnnounceState =
  /** It is announced in at least one, under this name there. */
  | { readonly kind: "announced"; readonly label: string }
  /** It is not, for the reason in words; that may change. */
  | { readonly kind: "silent"; readonly text: string };

/** What to announce, where, and who is told whether that works. */
export interface AnnounceOptions {
  readonly advert: Advert;
  /** The address that the server listens on; 0.0.0.0 or :: for all. */
  readonly listensOn: string;
  onState(state: AnnounceState): void;
  /** The networks of the moment; those of this machine where absent. */
  readonly networks?: () => readonly LocalNetwork[];
}

/** A server that is being announced. */
export interface Announcement {
  /** Takes it back. */
  close(): void;
}

/** Announces until closed. */
export function announce(options: AnnounceOptions, world: ResponderWorld): Announcement {
  const { advert, listensOn, onState, networks = localNetworks } = options;
  const isAny = listensOn === "0.0.0.0" || listensOn === "::";
  /** By the machine's address in the network. */
  const open = new Map<string, { readonly responder: Responder; label: string | null }>();
  const failures = new Map<string, string>();
  let told = "";
  let cancel = (): void => {};

  const tell = (): void => {
    const label = [...open.values()].find((entry) => entry.label !== null)?.label ?? null;
    const [failure] = failures.values();
    // Where one is still trying, it is too early to say.
    if (label === null && open.size > 0) return;
    const text = failure ?? `it listens on ${listensOn}, and that is in no IPv4 network now`;
    const state: AnnounceState =
      label === null ? { kind: "silent", text } : { kind: "announced", label };
    if (JSON.stringify(state) === told) return;
    told = JSON.stringify(state);
    onState(state);
  };
  const enter = (network: LocalNetwork): void => {
    const { address } = network;
    const responder = new Responder(
      {
        advert,
        network,
        drawName: namesOf(advert.run),
        onAnnounced(label) {
          failures.delete(address);
          const entry = open.get(address);
          if (entry !== undefined) entry.label = label;
          tell();
        },
        onFailure(text) {
          open.delete(address);
          failures.set(address, text);
          tell();
        },
      },
      world,
    );
    open.set(address, { responder, label: null });
  };
  const look = (): void => {
    const all = networks().filter(({ address }) => isAny || address === listensOn);
    const there = new Set(all.map(({ address }) => address));
    for (const [address, { responder }] of open) {
      if (there.has(address)) continue;
      responder.close();
      open.delete(address);
    }
    for (const address of failures.keys()) if (!there.has(address)) failures.delete(address);
    for (const network of all) if (!open.has(network.address)) enter(network);
    tell();
    cancel = world.after(lookMs, look);
  };
  look();
  return {
    close() {
      cancel();
      for (const { responder } of open.values()) responder.close();
      open.clear();
    },
  };
}

/** Names in the order in which they are tried: the plain one first, then with something drawn behind it. */
function namesOf(run: string): () => AdvertName {
  let isFirst = true;
  return () => {
    const suffix = isFirst ? "" : ` (${randomBytes(2).toString("hex")})`;
    isFirst = false;
    const target = `edgeloom-${randomBytes(4).toString("hex")}.local`;
    return { label: labelOf(run, hostname(), suffix), target };
  };
}
