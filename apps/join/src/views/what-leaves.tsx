/** What leaves this device: first as a promise, then counted. */
import { formatBytes } from "edgeloom/browser";
import type { DeviceState, Traffic } from "../messages.ts";

export function Commitment() {
  return (
    <details class="panel">
      <summary>What leaves this device</summary>
      <ul class="plain">
        <li>Its name, how many samples it has, their classes, and how fast it computes.</li>
        <li>
          Features: what the first layers of the model make of a batch of samples, with the class
          number of each. Or nothing of the samples, where the whole model is trained here.
        </li>
        <li>The weights of the layers that are trained here, after each round.</li>
      </ul>
      <p>
        Never the samples themselves. Features can still tell something about them: join runs of
        people you trust.
      </p>
    </details>
  );
}

/** Bytes and tensors that have crossed the link so far. */
export function Counted({ state }: { state: DeviceState }) {
  const { traffic, bytesSent, bytesReceived } = state;
  return (
    <section class="panel" aria-labelledby="leaves">
      <h2 id="leaves">What leaves this device</h2>
      <table data-testid="traffic">
        <caption class="unseen">Tensors sent and received, by what they are</caption>
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col" class="number">
              Times
            </th>
            <th scope="col" class="number">
              Bytes
            </th>
          </tr>
        </thead>
        <Rows title="Sent" total={bytesSent} rows={traffic.filter(({ way }) => way === "sent")} />
        <Rows
          title="Received"
          total={bytesReceived}
          rows={traffic.filter(({ way }) => way === "received")}
        />
      </table>
      <p class="hint">
        Totals include messages without tensors. The samples themselves are never sent; labels are
        class numbers.
      </p>
    </section>
  );
}

interface RowsProps {
  readonly title: string;
  readonly total: number;
  readonly rows: readonly Traffic[];
}

const Rows = ({ title, total, rows }: RowsProps) => (
  <tbody>
    <tr>
      <th scope="row" colSpan={2}>
        {title}
      </th>
      <td class="number">
        <strong>{formatBytes(total)}</strong>
      </td>
    </tr>
    {rows.map(({ what, messages, bytes }) => (
      <tr key={what}>
        <td>{what}</td>
        <td class="number">{messages.toLocaleString("en")}</td>
        <td class="number">{formatBytes(bytes)}</td>
      </tr>
    ))}
  </tbody>
);
