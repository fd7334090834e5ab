/**
 * Who may do what with a run that is served: its tokens, the gate that checks them,
 * and from where the server is reached. Composition only.
 */
import { randomBytes } from "node:crypto";
import type { Tickets } from "../run/coordinator/admission.ts";
import { defaultTokenDays } from "./default-token-days.ts";
import { Gate } from "./gate.ts";
import { type EdgeLimits, edgeLimits } from "./limits.ts";
import { type Reach, type ReachOptions, reachOf } from "./reach.ts";
import { RunTokens } from "./tokens.ts";

/** How a server lets others in. */
export interface AccessOptions {
  /** The run's folder; null keeps the tokens in memory. */
  readonly folder: string | null;
  /** Names of the devices that a link is made for. */
  readonly devices: readonly string[];
  /** As what the worker in the server's own process joins; an edge server where absent. */
  readonly ownKind?: "device" | "edge";
  /** {@link defaultTokenDays} where undefined. */
  readonly tokenDays: number | undefined;
  readonly reach: ReachOptions | undefined;
}

/** What the web server checks its visitors with. */
export interface Access {
  /** The run's folder; null where there is no run. */
  readonly folder: string | null;
  readonly tokens: RunTokens;
  readonly tokenDays: number;
  readonly gate: Gate;
  readonly limits: EdgeLimits;
  readonly reach: Reach;
  /** For whoever looks on. */
  readonly pageToken: string;
  /** For whoever lets devices in, and may end the run. */
  readonly adminToken: string;
  /** One per device, in the order given. */
  readonly deviceTokens: readonly string[];
  /** For the worker in the server's own process; it never leaves it. */
  readonly ownToken: string;
  /** What join tokens allow, the own worker's included. */
  readonly tickets: Tickets;
}

/** @throws InputError where the folder or a certificate cannot be read or written */
export async function openAccess(options: AccessOptions): Promise<Access> {
  const { folder, devices, ownKind = "edge", tokenDays = defaultTokenDays } = options;
  const reach = await reachOf(options.reach ?? {});
  const limits = edgeLimits(devices.length);
  const tokens = new RunTokens(folder);
  const gate = new Gate(tokens, limits);
  const [pageToken = ""] = await tokens.issueOnce("observer", ["page"], tokenDays);
  const [adminToken = ""] = await tokens.issueOnce("admin", ["page"], tokenDays);
  const ownToken = randomBytes(16).toString("hex");
  return {
    folder,
    tokens,
    tokenDays,
    gate,
    limits,
    reach,
    pageToken,
    adminToken,
    deviceTokens: await tokens.issueOnce("device", devices, tokenDays),
    ownToken,
    tickets: {
      get: (token) => (token === ownToken ? { kind: ownKind } : gate.get(token)),
    },
  };
}
