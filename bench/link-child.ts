/** The far end of `bench link`, in a process of its own: prints its ports and serves each kind of wire. */
import { type AddressInfo, createServer } from "node:net";
import { WebSocketServer } from "ws";
import { linkOptions } from "../src/nodejs/link.ts";
import { channelWire, serve, tcpWire, webSocketWire } from "./link-wire.ts";

const host = "127.0.0.1";
const tcp = createServer((socket) => serve(tcpWire(socket))).listen(0, host);
const common = { host, port: 0 } as const;
const bare = new WebSocketServer({ ...common, perMessageDeflate: false, maxPayload: 2 ** 30 });
bare.on("connection", (socket) => serve(webSocketWire(socket)));
const full = new WebSocketServer({ ...common, ...linkOptions });
full.on("connection", (socket) => serve(channelWire(socket)));

const listening = [tcp, bare, full].map(
  (server) => new Promise<void>((resolve) => void server.once("listening", () => resolve())),
);
await Promise.all(listening);
const ports = [tcp, bare, full].map((server) => (server.address() as AddressInfo).port);
console.log(JSON.stringify(ports));
// The bench closes its end when it is done.
process.stdin.resume().on("end", () => process.exit());
