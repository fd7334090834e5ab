/** The page without a run under way: past runs, to be listed, opened and compared. */
import { ObserverHub } from "../run/observe/hub.ts";
import { after } from "./host.ts";
import { newToken, openWeb } from "./web.ts";

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
  const token = newToken();
  const hub = new ObserverHub({
    live: null,
    accepts: (shown) => shown === token,
    after,
    onWatch: () => {},
  });
  const web = await openWeb({ port, runs, token, live: null, hub, joining: null, onWorker: null });
  return { pageUrl: web.pageUrl, close: () => web.close() };
}
