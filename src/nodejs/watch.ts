/** Following a run that somebody serves, from another process. */
import { WebSocket } from "ws";
import { Observer, type ObserverOwner } from "../run/observe/observer.ts";
import { readAddress, socketUrl, trustOf } from "./address.ts";
import { after } from "./host.ts";
import { handshakeTimeout, observerLink } from "./link.ts";

/**
 * Watches the run behind a page's address.
 * @param address what serve printed: http://127.0.0.1:7070/#token=...
 * @throws InputError where the address is none, has no token, or leads to another server
 */
export async function watch(address: string, owner: ObserverOwner): Promise<Observer> {
  const read = readAddress("address of the page", address);
  const trust = await trustOf(read);
  return new Observer(
    {
      connect(onOpen) {
        const url = socketUrl(read, "/observe");
        const options = { perMessageDeflate: false, handshakeTimeout, ...trust };
        const socket = new WebSocket(url, options);
        socket.on("open", onOpen);
        return observerLink(socket);
      },
      after,
    },
    read.token,
    owner,
  );
}
