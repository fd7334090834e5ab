/** What a worker that listens answers to who asks where its coordinator is. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { say, sayJson } from "./answers.ts";
import { bareHost, isLoopback } from "./reach.ts";
import { coordinatorPath, type KnownCoordinator } from "./through-peer.ts";

/** Answers a plain request at a worker's door. @param isLocal whether none but this machine reaches it */
export function answerAtDoor(
  { method, url = "", headers }: IncomingMessage,
  response: ServerResponse,
  known: KnownCoordinator | null,
  isLocal: boolean,
): void {
  const asked = URL.parse(url, "http://door");
  const host = URL.parse(`http://${headers.host ?? ""}`)?.hostname ?? "";
  // A page of another site may have made a name lead here.
  const isAsked =
    method === "GET" &&
    asked?.pathname === coordinatorPath &&
    headers.origin === undefined &&
    (!isLocal || isLoopback(bareHost(host)));
  const isOurs = known !== null && asked?.searchParams.get("ca") === (known.ca ?? "");
  if (isAsked && isOurs && (known.ca !== null || isLocal)) sayJson(response, { url: known.url });
  else say(response, 404, "workers of a run meet here, and there is nothing to see");
}
