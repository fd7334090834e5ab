/** Says it plainly when the server is gone or refuses; what was shown stays. */
import { useEffect, useState } from "preact/hooks";
import type { Connection } from "../connection.ts";
import { live } from "../state.ts";

export function ConnectionBanner({ isLiveView }: { isLiveView: boolean }) {
  const following = live.value;
  if (following === null || !isLiveView) return null;
  const connection = following.connection.value;
  const model = following.model.value;
  const isOver = model !== null && model.summary.value.end !== null;
  if (connection.state.kind === "watching") return null;
  // A server that ends after its run is no news.
  const tone = isOver || connection.state.kind === "connecting" ? "" : " bad";
  return (
    <p class={`connection${tone}`} role="status" data-testid="connection">
      <Words connection={connection} hasData={model !== null} isOver={isOver} />
    </p>
  );
}

interface WordsProps {
  readonly connection: Connection;
  readonly hasData: boolean;
  readonly isOver: boolean;
}

function Words({ connection: { state, sinceMs }, hasData, isOver }: WordsProps) {
  const shown = hasData ? " What you see is as it last was." : "";
  switch (state.kind) {
    case "connecting":
      return <>Connecting to the server…</>;
    case "watching":
      return null;
    case "refused":
      return (
        <>
          The server refused: {state.text}.{shown}
        </>
      );
    case "lost":
      return (
        <>
          <strong>{isOver ? "The server has ended." : "No connection to the server."}</strong>
          {isOver ? " The run is over; everything is shown." : shown}{" "}
          <Countdown untilMs={sinceMs + state.retryMs} />
        </>
      );
  }
}

/** Not spoken: a count every second would drown out all else. */
function Countdown({ untilMs }: { untilMs: number }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 250);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.ceil((untilMs - performance.now()) / 1000);
  return (
    <span aria-hidden="true">
      {seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again…"}
    </span>
  );
}
