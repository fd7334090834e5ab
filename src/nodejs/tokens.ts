/**
 * Tokens of a run: compact JWS (RFC 7515) signed with a key that is kept in the
 * run's folder and nowhere else, so a token is good for that run alone. It names
 * its id, its role and when it expires. `access.json` holds key, issued tokens and
 * those taken back; it is readable by its owner only and is never served.
 *
 * What is issued can be printed again: a token is a function of its entry and the
 * key, so a run that is resumed has the same links.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errors, jwtVerify, SignJWT } from "jose";
import * as z from "zod/mini";
import { InputError, messageOf } from "../base/errors.ts";
import { replacePrivate } from "./replace-file.ts";
import { accessFile } from "./run-folder.ts";

/** What a token lets its holder do; `docs/security.md` has the table. */
export const tokenRoles = ["device", "edge", "observer", "admin"] as const;
/** A word of {@link tokenRoles}. */
export type TokenRole = (typeof tokenRoles)[number];

/** A token that was issued, without the token itself. */
export interface IssuedToken {
  readonly id: string;
  readonly role: TokenRole;
  /** For whom it was made: a device's name, or empty. */
  readonly label: string;
  /** Unix time in seconds. */
  readonly expires: number;
  readonly isRevoked: boolean;
}

/** Whether a token holds, and if not why, in words for whoever showed it. */
export type TokenCheck =
  | { readonly ok: true; readonly id: string; readonly role: TokenRole; readonly label: string }
  | { readonly ok: false; readonly text: string };

const algorithm = "HS256";
const secondsPerDay = 86_400;
/** Longest token looked at; ours have about 130 characters. */
const tokenLengthMax = 512;

const issuedSchema = z.strictObject({
  id: z.string(),
  role: z.enum(tokenRoles),
  label: z.string(),
  expires: z.int(),
});
const accessSchema = z.strictObject({
  version: z.literal(1),
  /** 256 random bits, base64url. */
  key: z.string().check(z.regex(/^[\w-]{43}$/)),
  issued: z.array(issuedSchema),
  /** Ids of tokens that hold no more; also of such as were not issued here. */
  revoked: z.array(z.string()),
});
type Access = z.infer<typeof accessSchema>;

const claimsSchema = z.object({ jti: z.string(), role: z.enum(tokenRoles), exp: z.int() });

/** The tokens of one run, or of a server without one. */
export class RunTokens {
  readonly #path: string | null;
  readonly #key: Uint8Array;
  readonly #access: Access;
  readonly #revoked: Set<string>;

  /**
   * Opens what a folder holds, or makes a new key there.
   * @param folder the run's folder; null keeps everything in memory
   * @throws InputError where the file cannot be read or written
   */
  constructor(folder: string | null) {
    this.#path = folder === null ? null : join(folder, accessFile);
    const isNew = this.#path === null || !existsSync(this.#path);
    this.#access = isNew ? newAccess() : readAccess(this.#path as string);
    this.#key = Buffer.from(this.#access.key, "base64url");
    this.#revoked = new Set(this.#access.revoked);
    if (isNew) this.#save();
  }

  /** Issued tokens in the order in which they were. */
  get issued(): readonly IssuedToken[] {
    return this.#access.issued.map((entry) => ({
      ...entry,
      isRevoked: this.#revoked.has(entry.id),
    }));
  }

  /**
   * A new token, listed from now on.
   * @param days for how long it holds
   */
  issue(role: TokenRole, label: string, days: number): Promise<string> {
    const entry = newEntry(role, label, days);
    this.#access.issued.push(entry);
    this.#save();
    return this.#sign(entry);
  }

  /**
   * For each label the token issued for it in this role that still holds, or a new one. So a
   * run that is started again goes on with the links that people have.
   */
  issueOnce(role: TokenRole, labels: readonly string[], days: number): Promise<string[]> {
    const now = Date.now() / 1000;
    const holding = this.#access.issued.filter(
      (entry) => entry.role === role && entry.expires > now && !this.#revoked.has(entry.id),
    );
    const known = new Map(holding.map((entry) => [entry.label, entry]));
    const entries = labels.map((label) => known.get(label) ?? newEntry(role, label, days));
    const added = entries.filter((entry) => !known.has(entry.label));
    this.#access.issued.push(...added);
    if (added.length > 0) this.#save();
    return Promise.all(entries.map((entry) => this.#sign(entry)));
  }

  /** A token for the moment, which is not listed. */
  issueBriefly(role: TokenRole, seconds: number): Promise<string> {
    return this.#sign({ id: newId(), role, expires: Math.floor(Date.now() / 1000) + seconds });
  }

  /** Checks signature, expiry and the list of those taken back. */
  async check(token: string): Promise<TokenCheck> {
    const unknown = {
      ok: false,
      text: "it is not of this run: copy the whole link that serve printed",
    } as const;
    if (token.length > tokenLengthMax) return unknown;
    try {
      const { payload } = await jwtVerify(token, this.#key, {
        algorithms: [algorithm],
        requiredClaims: ["jti", "role", "exp"],
      });
      const { jti: id, role } = claimsSchema.parse(payload);
      if (this.#revoked.has(id)) {
        return { ok: false, text: `it has been revoked (${id}): ask for a new one` };
      }
      const label = this.#access.issued.find((entry) => entry.id === id)?.label ?? "";
      return { ok: true, id, role, label };
    } catch (error) {
      if (!(error instanceof errors.JWTExpired)) return unknown;
      const at = new Date(1000 * Number(error.payload.exp)).toISOString().slice(0, 16);
      return {
        ok: false,
        text: `it has expired on ${at.replace("T", " ")} UTC: ask for a new one`,
      };
    }
  }

  /** @returns whether it is a token that was issued here and held until now */
  revoke(id: string): boolean {
    if (this.#revoked.has(id) || !this.#access.issued.some((entry) => entry.id === id)) {
      return false;
    }
    this.#revoked.add(id);
    this.#access.revoked.push(id);
    this.#save();
    return true;
  }

  isRevoked(id: string): boolean {
    return this.#revoked.has(id);
  }

  #sign({ id, role, expires }: { id: string; role: TokenRole; expires: number }): Promise<string> {
    return new SignJWT({ role })
      .setProtectedHeader({ alg: algorithm })
      .setJti(id)
      .setExpirationTime(expires)
      .sign(this.#key);
  }

  /** Replaces the file at once, so that a crash leaves the old or the new one. */
  #save(): void {
    if (this.#path === null) return;
    try {
      replacePrivate(this.#path, `${JSON.stringify(this.#access, null, 2)}\n`);
    } catch (error) {
      throw accessError(this.#path, error, "a folder that can be written");
    }
  }
}

const newEntry = (role: TokenRole, label: string, days: number): z.infer<typeof issuedSchema> => ({
  id: newId(),
  role,
  label,
  expires: Math.floor(Date.now() / 1000) + Math.ceil(days * secondsPerDay),
});

const newId = (): string => randomBytes(5).toString("hex");

const newAccess = (): Access => ({
  version: 1,
  key: randomBytes(32).toString("base64url"),
  issued: [],
  revoked: [],
});

function readAccess(path: string): Access {
  try {
    return accessSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw accessError(path, error, "the file as it was written; without it, new links are made");
  }
}

const accessError = (path: string, error: unknown, allowed: string): InputError =>
  new InputError(
    { what: "tokens of the run", received: `${path} (${messageOf(error)})`, allowed },
    { cause: error },
  );
