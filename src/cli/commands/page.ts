/** `edgeloom page`: the page for past runs, until it is stopped. */
import { servePage } from "../../nodejs.ts";
import { bold, say } from "../terminal.ts";

export interface PageFlags {
  readonly port?: number;
  readonly runs: string;
}

export async function showPage(flags: PageFlags): Promise<void> {
  const { runs, port = null } = flags;
  const serving = await servePage({ runs, port });
  say(`${bold("Past runs at")} ${serving.pageUrl}`);
  say("Ctrl-C ends it.");
  const stop = (): void => serving.close();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
}
