/** The links of a scenario between real processes: a process of its own, so that nothing else delays them. */
import { ShapedNetwork } from "edgeloom";
import type { LinksAnswer, LinksOrder } from "./real-messages.ts";

let network: ShapedNetwork | null = null;
process.on("message", async (order: LinksOrder) => {
  if (order.type === "play") return network?.play();
  const opened = new ShapedNetwork(order.fleet);
  network = opened;
  const ports: number[] = [];
  for (const [from, to, port] of order.ways) ports.push(await opened.door(from, to, port));
  process.send?.({ type: "doors", ports } satisfies LinksAnswer);
});
process.on("disconnect", () => network?.close());
