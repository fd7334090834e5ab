/** What the server answers over HTTP: the list of runs, their records, their files. */
import type { RunListing } from "edgeloom";

export interface RunList {
  /** The run under way; null where there is none. */
  readonly live: string | null;
  /** Newest first. */
  readonly runs: readonly RunListing[];
}

/** Why there is no answer: a bad token, no server, or what the server said. */
export type ApiProblem = "token" | "gone" | { readonly text: string };

export type ApiResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: ApiProblem };

const runPath = (run: string): string => `api/runs/${encodeURIComponent(run)}`;

export const fetchRuns = (token: string): Promise<ApiResult<RunList>> =>
  get(token, "api/runs", (answer) => answer.json());

/** A device of the job and the token with which it joins. */
export interface JoinableDevice {
  readonly name: string;
  readonly token: string;
}

/** The devices that the live run waits for. */
export const fetchDevices = (token: string): Promise<ApiResult<readonly JoinableDevice[]>> =>
  get(token, "api/admin/devices", async (answer) => {
    const { devices } = (await answer.json()) as { devices: readonly JoinableDevice[] };
    return devices;
  });

/** The text of `records.jsonl`. */
export const fetchRecords = (token: string, run: string): Promise<ApiResult<string>> =>
  get(token, `${runPath(run)}/records`, (answer) => answer.text());

export const fetchFile = (token: string, run: string, name: string): Promise<ApiResult<Blob>> =>
  get(token, `${runPath(run)}/files/${encodeURIComponent(name)}`, (answer) => answer.blob());

async function get<T>(
  token: string,
  path: string,
  take: (answer: Response) => Promise<T>,
): Promise<ApiResult<T>> {
  try {
    const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` } });
    if (answer.status === 401) return { ok: false, problem: "token" };
    if (!answer.ok) {
      const text = (await answer.text()).slice(0, 300);
      return { ok: false, problem: { text: text || `the server answered ${answer.status}` } };
    }
    return { ok: true, value: await take(answer) };
  } catch {
    return { ok: false, problem: "gone" };
  }
}

export function problemText(problem: ApiProblem): string {
  if (problem === "token") return "The server does not accept the token.";
  if (problem === "gone") return "The server does not answer. Is it still running?";
  return `${problem.text.charAt(0).toUpperCase()}${problem.text.slice(1)}`;
}

/** Hands a file to the reader's download folder. */
export function saveBlob(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken hold of it by the next task.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
