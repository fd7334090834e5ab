/** How a phone or another browser joins: a link and a QR code for each device of the job. */
import { useSignal } from "@preact/signals";
import { encode } from "uqr";
import { fetchDevices, type JoinableDevice, problemText } from "../api.ts";

interface Props {
  readonly token: string;
  /** Names of the nodes that are there now. */
  readonly joined: readonly string[];
}

type Devices = readonly JoinableDevice[] | { readonly problem: string } | null;

export function JoinPanel({ token, joined }: Props) {
  const devices = useSignal<Devices>(null);
  const open = async ({ currentTarget }: { currentTarget: HTMLDetailsElement }) => {
    if (!currentTarget.open || Array.isArray(devices.value)) return;
    const answer = await fetchDevices(token);
    devices.value = answer.ok ? answer.value : { problem: problemText(answer.problem) };
  };
  const found = devices.value;
  return (
    <details class="panel join" onToggle={(event) => void open(event)} data-testid="join-panel">
      <summary>Join with a phone</summary>
      {found !== null && "problem" in found && (
        <>
          <p class="bad-text">{found.problem}</p>
          <p class="hint">
            A link for looking on does not let devices in. The server prints one that does, for an
            admin; <code>edgeloom tokens</code> makes more.
          </p>
        </>
      )}
      {found !== null && !("problem" in found) && <Links devices={found} joined={joined} />}
    </details>
  );
}

function Links({
  devices,
  joined,
}: {
  devices: readonly JoinableDevice[];
  joined: readonly string[];
}) {
  const free = devices.filter(({ name }) => !joined.includes(name));
  const chosen = useSignal<string | null>(null);
  const device = devices.find(({ name }) => name === chosen.value) ?? free[0] ?? devices[0];
  if (device === undefined) return <p class="empty">Nothing can be joined here.</p>;
  const link = `${new URL("join", location.href.replace(/#.*$/, ""))}#token=${device.token}`;
  return (
    <div class="join-body">
      <QrCode text={link} name={device.name} />
      <div class="join-words">
        <p>
          <label for="join-device">Link for </label>
          <select
            id="join-device"
            value={device.name}
            onChange={({ currentTarget }) => (chosen.value = currentTarget.value)}
          >
            {devices.map(({ name }) => (
              <option key={name} value={name}>
                {name}
                {joined.includes(name) ? " (has joined)" : ""}
              </option>
            ))}
          </select>
        </p>
        <p>
          Scan the code with the phone's camera, or open <a href={link}>this link</a> in a browser.
          Each link lets one device in. Whoever has it can join: show it to nobody else.
        </p>
        <Reach />
      </div>
    </div>
  );
}

const loopback = ["localhost", "127.0.0.1", "[::1]"];

/** Whether a phone gets here at all, and what it says of the certificate. */
function Reach() {
  if (loopback.includes(location.hostname)) {
    return (
      <p class="hint">
        This page is open at an address that only this machine has. A phone needs the server to
        listen on the network: <code>edgeloom serve --host</code>.
      </p>
    );
  }
  return (
    <div class="hint">
      <p>
        The phone warns of the certificate until it trusts this server's authority. First compare
        the fingerprint with the one in the terminal.
      </p>
      <ul class="plain">
        <li>
          Android: open <a href="ca.crt">ca.crt</a>, then Settings › Security › More › Encryption ›
          Install a certificate › CA certificate.
        </li>
        <li>
          iPhone and iPad: open <a href="ca.crt">ca.crt</a> in Safari, install it in Settings ›
          General › VPN &amp; Device Management, then switch it on in Settings › General › About ›
          Certificate Trust Settings.
        </li>
      </ul>
    </div>
  );
}

/** Dark on light in every colour scheme: cameras want it so. */
function QrCode({ text, name }: { text: string; name: string }) {
  const { size, data } = encode(text, { border: 3 });
  const path = data
    .flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])))
    .join("");
  return (
    <svg
      class="qr"
      viewBox={`0 0 ${size} ${size}`}
      shape-rendering="crispEdges"
      role="img"
      aria-label={`QR code of the join link for ${name}`}
    >
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}
