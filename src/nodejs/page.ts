/** The page without a run under way: past runs, to be listed, opened and compared. */
import { ObserverHub } from "../run/observe/hub.ts";
import { openAccess } from "./access.ts";
import { after } from "./host.ts";
import { openWeb } from "./web.ts";

/** The server's tokens end with it. */
const pageTokenDays = 365;

/** Which runs to show, and where. */
export interface PageOptions {
  /** Folder of all runs. */
  readonly runs: string;
  /** Exactly this port, or null for the first free one. */
  readonly port: number | null;
}

/** The page's server. */
export interface PageServing {
  readonly pageUrl: string;
  /** Stops serving. */
  close(): void;
}

/** Serves the page until closed. @throws InputError when the port is taken. */
export async function servePage({ runs, port }: PageOptions): Promise<PageServing> {
  const access = await openAccess({
    folder: null,
    devices: [],
    tokenDays: pageTokenDays,
    reach: undefined,
  });
  const hub = new ObserverHub({
    live: null,
    accepts: (shown) => access.gate.accepts(shown),
    after,
    onWatch: () => {},
  });
  const web = await openWeb({
    ...access,
    port,
    runs,
    live: null,
    hub,
    interrupt: null,
    desk: null,
    metrics: null,
    onWorker: null,
  });
  return { pageUrl: web.pageUrl, close: () => web.close() };
}
