/** `edgeloom partition`: private shards for the devices of an experiment. */
import { partition as writeShards } from "../../nodejs.ts";
import { say, table } from "../terminal.ts";

export interface PartitionFlags {
  readonly parts: number;
  readonly out: string;
  readonly alpha: number;
  readonly seed: number;
}

export function partition(data: string, flags: PartitionFlags): void {
  const shards = writeShards(data, flags);
  const columns = [
    { title: "shard" },
    { title: "samples", align: "right" },
    { title: "samples of each class" },
  ] as const;
  const rows = shards.map((shard) => [
    shard.folder,
    shard.samples.toLocaleString("en"),
    shard.perClass.join(" "),
  ]);
  for (const line of table(columns, rows)) say(line);
}
