/**
 * Sends bytes to itself over the loopback address and prints how many milliseconds they took:
 * `node kernel-links.ts BYTES`, in a network namespace whose loopback device the kernel shapes.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

const bytes = Number(process.argv[2]);
const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;
const sender = connect(port, "127.0.0.1");
const [receiver] = (await once(server, "connection")) as [Socket];
const fromMs = performance.now();
sender.write(Buffer.alloc(bytes));
let heard = 0;
for await (const data of receiver) {
  heard += (data as Buffer).length;
  if (heard >= bytes) break;
}
console.log(performance.now() - fromMs);
process.exit(0);
