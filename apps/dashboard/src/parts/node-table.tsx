/** All nodes in numbers: what they are, what was asked of them, what it cost. */
import { formatBytes, formatPercent, formatShare, type NodeSummary } from "edgeloom";
import type { RunModel } from "../run-model.ts";
import { unknown } from "../words.ts";
import { memo } from "./memo.ts";
import { ScrollBox } from "./scroll-box.tsx";

const columns = [
  ["node", ""],
  ["kind", ""],
  ["samples", "number"],
  ["duty asked", "number"],
  ["achieved", "number"],
  ["sent", "number"],
  ["received", "number"],
  ["straight", "number"],
  ["peak memory", "number"],
  ["limit", "number"],
  ["state", ""],
] as const;

export function NodeTable({ model }: { model: RunModel }) {
  const { nodes } = model.summary.value;
  const selected = model.selected.value;
  return (
    <section class="panel far" aria-labelledby="nodes">
      <h2 id="nodes">Nodes</h2>
      <p class="hint">
        Duty is the share of one core that a node may use. What went straight passed between workers
        without the coordinator.
      </p>
      <ScrollBox label="Nodes, a table that scrolls sideways">
        <table>
          <caption class="unseen">All nodes with their duty, traffic and memory</caption>
          <thead>
            <tr>
              {columns.map(([name, kind]) => (
                <th key={name} scope="col" class={kind}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {nodes.map((node) => (
              <Row
                key={node.node}
                {...wordsOf(node)}
                isSelected={node.node === selected}
                onChoose={model.choose}
              />
            ))}
          </tbody>
        </table>
      </ScrollBox>
    </section>
  );
}

const wordsOf = (node: NodeSummary) => ({
  id: node.node,
  name: node.name,
  kind: node.kind,
  samples: node.samples === 0 ? unknown : node.samples.toLocaleString("en"),
  asked: formatShare(node.dutyAsked),
  achieved: node.dutyAchieved === null ? unknown : node.dutyAchieved.toFixed(3),
  sent: formatBytes(node.bytesUp),
  received: formatBytes(node.bytesDown),
  straight: node.bytesStraight === 0 ? "none" : formatBytes(node.bytesStraight),
  memory: node.peakRssBytes === null ? unknown : formatBytes(node.peakRssBytes),
  used:
    node.peakRssBytes === null || node.memoryBytes === null
      ? null
      : formatPercent(node.peakRssBytes / node.memoryBytes),
  limit: node.memoryBytes === null ? "none" : formatBytes(node.memoryBytes),
  left: node.left,
});

interface RowProps extends ReturnType<typeof wordsOf> {
  readonly isSelected: boolean;
  readonly onChoose: RunModel["choose"];
}

function RowView(row: RowProps) {
  return (
    <tr class={`${row.left === null ? "" : "left"}${row.isSelected ? " chosen" : ""}`}>
      <th scope="row">
        <button
          type="button"
          class="link"
          aria-pressed={row.isSelected}
          onClick={() => row.onChoose(row.id)}
        >
          {row.name}
        </button>
      </th>
      <td>{row.kind}</td>
      <td class="number">{row.samples}</td>
      <td class="number">{row.asked}</td>
      <td class="number">{row.achieved}</td>
      <td class="number">{row.sent}</td>
      <td class="number">{row.received}</td>
      <td class="number">{row.straight}</td>
      <td class="number">{row.memory}</td>
      <td class="number">{row.used === null ? row.limit : `${row.limit} (${row.used})`}</td>
      <td>{row.left === null ? "in the run" : `left: ${row.left}`}</td>
    </tr>
  );
}

const Row = memo(RowView);
