/**
 * Administering a run's tokens, from its folder or from afar. Whoever can read the
 * folder holds its key and so is an admin; elsewhere an admin's token is needed. While
 * the run is served the server changes the list, so that what a revoked token has
 * opened is closed at once; otherwise the list in the folder is changed.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod/mini";
import { InputError, messageOf } from "../base/errors.ts";
import { ask, readAddress, type ServerAddress } from "./address.ts";
import { defaultTokenDays } from "./default-token-days.ts";
import { accessFile, servingFile } from "./run-folder.ts";
import { type IssuedToken, RunTokens, type TokenRole, tokenRoles } from "./tokens.ts";

/** What is to be done with a run's tokens; nothing but listing them where all is left out. */
export interface TokenChange {
  /** Id of the token to be revoked. */
  readonly revoke?: string;
  /** Role and holder of a token to be made. */
  readonly add?: { readonly role: TokenRole; readonly label: string };
}

/** A run's tokens as they are now. */
export interface TokenListing {
  readonly tokens: readonly IssuedToken[];
  /** The token that was made. */
  readonly token?: string;
  /** Where the run is served now ("ws://host:port/"), and its CA's fingerprint; null where it is not. */
  readonly server: { readonly url: string; readonly fingerprint: string | null } | null;
}

/** What `serving.json` in a run's folder holds while the run is served. */
const servingSchema = z.strictObject({
  /** Under which the server reaches itself, and under which others do: "https://host:port". */
  own: z.string(),
  shown: z.string(),
  fingerprint: z.nullable(z.string()),
});

const listSchema = z.object({
  tokens: z.array(
    z.object({
      id: z.string(),
      role: z.enum(tokenRoles),
      label: z.string(),
      expires: z.int(),
      isRevoked: z.boolean(),
    }),
  ),
  token: z.optional(z.string()),
});

/** Seconds for which a token that this process makes for itself holds. */
const briefly = 60;

/**
 * Lists and changes a run's tokens.
 * @param target the run's folder, or its server's address with an admin's token
 * @throws InputError where there is no such run, token or right
 */
export async function administerTokens(
  target: string,
  change: TokenChange = {},
): Promise<TokenListing> {
  if (/^(https?|wss?):/.test(target)) {
    const address = readAddress("address of the server", target);
    const shown = `${address.isSecure ? "https" : "http"}://${address.host}`;
    return askServer(address, { shown, fingerprint: address.ca }, change).catch(
      (error: unknown) => {
        if (!(error instanceof Gone)) throw error;
        throw new InputError(
          {
            what: "server of the run",
            received: `${shown} (${error.message})`,
            allowed: "the address of a run that is being served, with an admin's token",
          },
          { cause: error },
        );
      },
    );
  }
  if (!existsSync(join(target, accessFile)) || !statSync(target).isDirectory()) {
    throw new InputError({
      what: "run",
      received: target,
      allowed: "the folder of a run that was served, or its server's address with an admin's token",
    });
  }
  const tokens = new RunTokens(target);
  const serving = readServing(target);
  if (serving !== null) {
    const token = await tokens.issueBriefly("admin", briefly);
    const ca = serving.fingerprint === null ? "" : `&ca=${serving.fingerprint}`;
    const address = readAddress("server of the run", `${serving.own}/#token=${token}${ca}`);
    const answered = await askServer(address, serving, change).catch((error: unknown) => {
      // Whoever answers there now, if anybody, is not this run's server.
      if (error instanceof Gone) return null;
      throw error;
    });
    if (answered !== null) return answered;
  }
  return changeHere(tokens, change);
}

/** Nobody of this run answers. */
class Gone extends Error {}

async function askServer(
  address: ServerAddress,
  serving: { readonly shown: string; readonly fingerprint: string | null },
  { revoke, add }: TokenChange,
): Promise<TokenListing> {
  const [action, body]: [string, object | undefined] =
    revoke !== undefined ? ["revoke", { id: revoke }] : ["tokens", add];
  const method = body === undefined ? "GET" : "POST";
  const answer = await ask(address, method, `/api/admin/${action}`, body).catch(
    (error: unknown) => {
      throw new Gone(messageOf(error), { cause: error });
    },
  );
  if (answer.status === 401) throw new Gone(answer.text.trim());
  if (answer.status !== 200) {
    throw new InputError({
      what: revoke === undefined ? "token" : "--revoke",
      received: `${revoke ?? add?.role ?? "a list"} (${answer.text.trim()})`,
      allowed: "what an admin may ask: see edgeloom tokens --help",
    });
  }
  const server = {
    url: `${serving.shown.replace(/^http/, "ws")}/`,
    fingerprint: serving.fingerprint,
  };
  const { tokens, token } = readListing(answer.text);
  return { tokens, server, ...(token === undefined ? {} : { token }) };
}

/** @throws Gone where another kind of server has answered */
function readListing(text: string): z.infer<typeof listSchema> {
  try {
    return listSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new Gone("what answers there is no server of a run", { cause: error });
  }
}

async function changeHere(tokens: RunTokens, { revoke, add }: TokenChange): Promise<TokenListing> {
  if (revoke !== undefined && !tokens.revoke(revoke)) {
    throw new InputError({
      what: "--revoke",
      received: revoke,
      allowed: "the id of a token that still holds: see edgeloom tokens RUN",
    });
  }
  const token =
    add === undefined ? {} : { token: await tokens.issue(add.role, add.label, defaultTokenDays) };
  return { tokens: tokens.issued, server: null, ...token };
}

function readServing(folder: string): z.infer<typeof servingSchema> | null {
  try {
    return servingSchema.parse(JSON.parse(readFileSync(join(folder, servingFile), "utf8")));
  } catch {
    // Not served, or half written by a server that has just begun.
    return null;
  }
}
