/** `edgeloom tokens`: who may join, watch and administer a run, and taking it back. */
import { InputError, namePattern } from "../../index.ts";
import { administerTokens, type TokenListing, type TokenRole, tokenRoles } from "../../nodejs.ts";
import { bold, say, table } from "../terminal.ts";

export interface TokensFlags {
  readonly revoke?: string;
  readonly add?: string;
  readonly label?: string;
  readonly json?: true;
}

export async function showTokens(target: string, flags: TokensFlags): Promise<void> {
  const { revoke, add, label = "guest" } = flags;
  const listing = await administerTokens(target, {
    ...(revoke === undefined ? {} : { revoke }),
    ...(add === undefined ? {} : { add: { role: roleOf(add), label: labelOf(label) } }),
  });
  if (flags.json) return say(JSON.stringify(listing));
  for (const line of rowsOf(listing)) say(line);
  if (listing.token !== undefined) announce(listing.token, listing);
  else if (revoke !== undefined)
    say(`${bold(revoke)} is revoked, and what it had opened is closed`);
}

function roleOf(text: string): TokenRole {
  const role = tokenRoles.find((known) => known === text);
  if (role !== undefined) return role;
  throw new InputError({ what: "--add", received: text, allowed: tokenRoles.join(", ") });
}

function labelOf(text: string): string {
  if (namePattern.test(text)) return text;
  const allowed = "1 to 64 letters, digits, _ . -, beginning with a letter or digit";
  throw new InputError({ what: "--label", received: text, allowed });
}

function rowsOf({ tokens }: TokenListing): string[] {
  const columns = [{ title: "id" }, { title: "role" }, { title: "for" }, { title: "until (UTC)" }];
  const now = Date.now() / 1000;
  const rows = tokens.map(({ id, role, label, expires, isRevoked }) => {
    const until = new Date(1000 * expires).toISOString().slice(0, 16).replace("T", " ");
    return [id, role, label, isRevoked ? "revoked" : expires < now ? `${until}, expired` : until];
  });
  return table([...columns], rows);
}

/** How the new token is used: a join line, the page's address, or the token alone. */
function announce(token: string, { server, tokens }: TokenListing): void {
  const role = tokens.at(-1)?.role;
  say();
  if (server === null) return say(`${bold("New token")} ${token}`);
  const { url, fingerprint } = server;
  if (role === "device" || role === "edge") {
    const own = role === "device" ? "--data PATH" : "--edge";
    const ca = fingerprint === null ? "" : ` --ca ${fingerprint}`;
    return say(`edgeloom join ${url} --token ${token}${ca} ${own}`);
  }
  const ca = fingerprint === null ? "" : `&ca=${fingerprint}`;
  say(`${url.replace(/^ws/, "http")}#token=${token}${ca}`);
}
