/** `edgeloom discover`: servers that announce themselves in the local network. */
import { discover, type ServerInReach } from "../../nodejs.ts";
import { exitCodes } from "../exit.ts";
import { fail, say, status, table } from "../terminal.ts";

export interface DiscoverFlags {
  readonly seconds: number;
  readonly json?: true;
}

export async function listServers({ seconds, json }: DiscoverFlags): Promise<void> {
  if (!json) status(`listening for ${seconds} s`);
  const { servers, problem } = await discover({ listenMs: 1000 * seconds });
  if (problem !== null) process.exitCode = exitCodes.failed;
  if (json) return say(JSON.stringify({ servers: servers.map(asJson), problem }));
  if (problem !== null) return fail(`nothing can be heard: ${problem}`);
  if (servers.length === 0) return say("No server announces itself in the local network.");
  for (const line of table([...columns], servers.flatMap(rowsOf))) say(line);
}

const columns = [
  { title: "name" },
  { title: "run" },
  { title: "address" },
  { title: "seen since (UTC)" },
];

/** A server with several addresses has a row for each. */
const rowsOf = ({ name, run, urls, seenSince }: ServerInReach): string[][] =>
  urls.map((url, i) =>
    i === 0 ? [name, run, url, timeOf(seenSince).slice(11, 19)] : ["", "", url, ""],
  );

const asJson = ({ seenSince, ...server }: ServerInReach) => ({
  ...server,
  seenSince: timeOf(seenSince),
});

const timeOf = (unixMs: number): string => new Date(unixMs).toISOString();
