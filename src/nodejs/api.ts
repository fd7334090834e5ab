/**
 * What a server answers to programs: runs and their files for those who may look,
 * figures for Prometheus, and the run's administration for admins. Every answer but
 * the figures on this machine needs a token of the right role.
 */
import { createReadStream } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import * as z from "zod/mini";
import { InputError, messageOf } from "../base/errors.ts";
import { namePattern } from "../base/ids.ts";
import { say, sayJson } from "./answers.ts";
import { RunArchive } from "./archive.ts";
import type { Gate } from "./gate.ts";
import { answerAtDesk, type JoinDesk } from "./join-desk.ts";
import { type RunTokens, type TokenCheck, type TokenRole, tokenRoles } from "./tokens.ts";

export interface ApiOptions {
  /** Folder of all runs. */
  readonly runs: string;
  readonly tokens: RunTokens;
  /** The run under way; null where only past ones are shown. */
  readonly live: string | null;
  /** Closes the connections of tokens that are revoked. */
  readonly gate: Gate;
  /** Ends the run after what is committed; null where there is no run to administer. */
  readonly interrupt: ((text: string) => void) | null;
  /** Figures in Prometheus' text form; null where there are none. */
  readonly metrics: (() => Promise<string>) | null;
  /** Tells devices about the run that they may join; null where there is none. */
  readonly desk: JoinDesk | null;
  /** The join tokens of the job's devices, in their order. */
  readonly deviceTokens: readonly string[];
  /** Days for which tokens made on request hold. */
  readonly tokenDays: number;
}

/** Largest body of a request. */
const bodyBytesMax = 4096;

const revokeSchema = z.strictObject({ id: z.string().check(z.maxLength(64)) });
const issueSchema = z.strictObject({
  role: z.enum(tokenRoles),
  label: z.string().check(z.regex(namePattern)),
});
const interruptSchema = z.strictObject({ text: z.string().check(z.maxLength(256)) });

export class Api {
  readonly #options: ApiOptions;
  readonly #archive: RunArchive;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#archive = new RunArchive(options.runs);
  }

  /** Whether a path is answered here. */
  owns(path: string): boolean {
    return path.startsWith("/api/") || path === "/metrics";
  }

  /** Answers a request, whoever sends it; never throws. */
  async answer(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("cache-control", "no-store");
    const isAdmin = path.startsWith("/api/admin/");
    const isDevice = path === "/api/join" || path.startsWith("/api/join/");
    try {
      if (isDevice) return await this.#meetDevice(path, request, response);
      const open = path === "/metrics" && isLocal(request);
      const refusal = open
        ? null
        : refusalOf(await this.#check(request), isAdmin ? adminOnly : observers);
      if (refusal !== null) return say(response, refusal.status, refusal.text);
      if (isAdmin) return await this.#administer(path, request, response);
      if (!isReading(request)) return say(response, 405, "only GET is answered here");
      if (path === "/metrics") return await this.#figures(response);
      await this.#showRuns(path, response);
    } catch (error) {
      if (response.headersSent) response.destroy();
      // What is wrong inside, with its paths, is told to admins alone.
      else if (isAdmin) say(response, 500, messageOf(error));
      else if (error instanceof InputError) say(response, 404, "no such run or file");
      else say(response, 500, "the server cannot read it");
    }
  }

  /** What the token that a request shows is good for. */
  async #check(request: IncomingMessage): Promise<TokenCheck> {
    const shown = /^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (shown === undefined) return { ok: false, text: "it is missing" };
    return this.#options.tokens.check(shown);
  }

  /** Answers who may join about the run. */
  async #meetDevice(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const check = await this.#check(request);
    const refusal = refusalOf(check, devicesOnly);
    if (refusal !== null) return say(response, refusal.status, refusal.text);
    if (!isReading(request)) return say(response, 405, "only GET is answered here");
    const { desk } = this.#options;
    if (desk === null || !check.ok) return say(response, 404, "no run is under way here");
    answerAtDesk(desk, check.label, path, response);
  }

  async #figures(response: ServerResponse): Promise<void> {
    const { metrics } = this.#options;
    if (metrics === null) return say(response, 404, "no run is under way here");
    const text = await metrics();
    response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
    response.end(text);
  }

  async #showRuns(path: string, response: ServerResponse): Promise<void> {
    const [, , what, run = "", kind, name = ""] = path.split("/");
    if (what === "runs" && run === "") {
      return sayJson(response, { live: this.#options.live, runs: await this.#archive.list() });
    }
    if (what === "runs" && kind === "records") {
      const text = await this.#archive.records(run);
      response.writeHead(200, { "content-type": "application/x-ndjson; charset=utf-8" });
      response.end(text);
    } else if (what === "runs" && kind === "files") {
      const file = this.#archive.file(run, name);
      if (file === null) return say(response, 404, "no such run or file");
      response.writeHead(200, {
        "content-type": "application/octet-stream",
        "content-disposition": `attachment; filename="${name}"`,
      });
      createReadStream(file)
        .on("error", () => response.destroy())
        .pipe(response);
    } else say(response, 404, "nothing here");
  }

  async #administer(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { tokens, gate, interrupt, tokenDays, desk, deviceTokens } = this.#options;
    if (interrupt === null) return say(response, 404, "no run is under way here");
    const action = `${request.method} ${path.slice("/api/admin/".length)}`;
    if (action === "GET tokens") return sayJson(response, { tokens: tokens.issued });
    if (action === "GET devices" && desk !== null) {
      return sayJson(response, { devices: desk.devices(deviceTokens) });
    }
    const body = await bodyOf(request);
    switch (action) {
      case "POST tokens": {
        const asked = issueSchema.safeParse(body);
        if (!asked.success) return say(response, 400, "a role and a label are needed");
        const token = await tokens.issue(asked.data.role, asked.data.label, tokenDays);
        return sayJson(response, { tokens: tokens.issued, token });
      }
      case "POST revoke": {
        const asked = revokeSchema.safeParse(body);
        if (!asked.success) return say(response, 400, "the id of a token is needed");
        if (!tokens.revoke(asked.data.id)) {
          return say(response, 404, `no token ${asked.data.id} that still holds`);
        }
        gate.expel(asked.data.id);
        return sayJson(response, { tokens: tokens.issued });
      }
      case "POST interrupt": {
        const asked = interruptSchema.safeParse(body);
        if (!asked.success) return say(response, 400, "a reason in words is needed");
        interrupt(asked.data.text);
        return sayJson(response, {});
      }
      default:
        return say(response, 405, "nothing that an admin can do");
    }
  }
}

/** Why a request is not answered; null where its token holds and has one of the roles. */
function refusalOf(
  check: TokenCheck,
  roles: readonly TokenRole[],
): { status: 401 | 403; text: string } | null {
  if (!check.ok) return { status: 401, text: `the token is not valid: ${check.text}` };
  if (roles.includes(check.role)) return null;
  return {
    status: 403,
    text: `the token is one of ${check.role}; needed: ${roles.join(" or ")}`,
  };
}

const observers: readonly TokenRole[] = ["observer", "admin"];
const adminOnly: readonly TokenRole[] = ["admin"];
const devicesOnly: readonly TokenRole[] = ["device"];

/** Whether a request only reads. */
export const isReading = ({ method }: IncomingMessage): boolean =>
  method === "GET" || method === "HEAD";

/** Whether a request comes from this machine. */
const isLocal = ({ socket }: IncomingMessage): boolean =>
  /^(::ffff:)?127\.|^::1$/.test(socket.remoteAddress ?? "");

/** The JSON of a request's body; undefined where it is none, or too long. */
async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > bodyBytesMax) return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
