/**
 * The page at `/join`, with which a browser takes part in a run, and under
 * `/join/ort` the WebAssembly of onnxruntime-web, which the package brings along.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import sirv, { type RequestHandler } from "sirv";
import { pageFolder } from "./page-folder.ts";

/** Beside what every answer has. The page is isolated, so that the threads of WebAssembly may share memory. */
const headers = {
  "content-security-policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; " +
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-embedder-policy": "require-corp",
};

const mount = "/join";
const runtimeMount = "/join/ort";

/** What answers a request below `/join`; `missing` is called where there is nothing. */
export type JoinPage = (
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
  missing: (why: string) => void,
) => void;

/** Whether a path is the page's, or one of its files. */
export const isJoinPath = (path: string): boolean => path === mount || path.startsWith(`${mount}/`);

export function joinPage(): JoinPage {
  const folder = pageFolder("join");
  const page = folder === null ? null : sirv(folder, { etag: true });
  const runtime = sirv(dirname(fileURLToPath(import.meta.resolve("onnxruntime-web"))), {
    etag: true,
    // The files are those of an installed version, and large: a phone loads them once.
    maxAge: 86_400,
  });
  return (path, request, response, missing) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (path === mount) {
      // Files are named relative to the page. What follows # is kept by browsers.
      response.writeHead(308, { location: "join/" }).end();
    } else if (path.startsWith(`${runtimeMount}/`)) {
      below(runtime, runtimeMount, request, response, () => missing("nothing here"));
    } else if (page === null) missing("The page is not built: npm run setup builds it.");
    else below(page, mount, request, response, () => missing("nothing here"));
  };
}

/** Lets files answer as if their folder were the root. */
function below(
  files: RequestHandler,
  mounted: string,
  request: IncomingMessage,
  response: ServerResponse,
  missing: () => void,
): void {
  request.url = (request.url ?? "").slice(mounted.length);
  files(request, response, missing);
}
