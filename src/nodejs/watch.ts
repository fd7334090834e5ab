/** Following a run that somebody serves, from another process. */
import { WebSocket } from "ws";
import { InputError } from "../base/errors.ts";
import { Observer, type ObserverOwner } from "../run/observe/observer.ts";
import { after } from "./host.ts";
import { observerLink } from "./link.ts";

/**
 * Watches the run behind a page's address.
 * @param address what serve printed: http://127.0.0.1:7070/#token=...
 * @throws InputError where the address is none or has no token
 */
export function watch(address: string, owner: ObserverOwner): Observer {
  const { url, token } = readAddress(address);
  return new Observer(
    {
      connect(onOpen) {
        const socket = new WebSocket(url, { perMessageDeflate: false });
        socket.on("open", onOpen);
        return observerLink(socket);
      },
      after,
    },
    token,
    owner,
  );
}

function readAddress(address: string): { url: string; token: string } {
  const parsed = URL.parse(address);
  const token = new URLSearchParams(parsed?.hash.slice(1)).get("token");
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || token === null) {
    throw new InputError({
      what: "address of the page",
      received: address,
      allowed: "the address that serve printed, such as http://127.0.0.1:7070/#token=...",
    });
  }
  const scheme = parsed.protocol === "https:" ? "wss:" : "ws:";
  return { url: `${scheme}//${parsed.host}/observe`, token };
}
