/** The page's frame, and which of its views is shown. */
import { useEffect, useRef } from "preact/hooks";
import { theme, toggleTheme } from "../../dashboard/src/theme.ts";
import { device, entry } from "./state.ts";
import { AtWork } from "./views/at-work.tsx";
import { Choose } from "./views/choose.tsx";
import { LinkForm } from "./views/link-form.tsx";

export function App() {
  const main = useRef<HTMLElement>(null);
  const state = device.value;
  useEffect(() => {
    document.title = state === null ? "Join · Edgeloom" : `${titles[state.phase]} · Edgeloom`;
  }, [state?.phase]);
  return (
    <>
      <header class="top">
        <button type="button" class="skip" onClick={() => main.current?.focus()}>
          Skip to the content
        </button>
        <span class="mark">
          <Mark /> Edgeloom
        </span>
        <ThemeButton />
      </header>
      <main ref={main} tabIndex={-1}>
        <View />
      </main>
    </>
  );
}

const titles = {
  reading: "Reading",
  connecting: "Connecting",
  waiting: "Waiting",
  training: "Training",
  pausing: "Pausing",
  paused: "Paused",
  retrying: "No connection",
  ended: "Ended",
} as const;

function View() {
  const state = device.value;
  if (state !== null) return <AtWork state={state} />;
  const at = entry.value;
  switch (at.kind) {
    case "opening":
      return (
        <p class="loading" role="status">
          Asking the server…
        </p>
      );
    case "closed":
      return <LinkForm why={at.why} />;
    case "open":
      return <Choose offer={at.offer} settings={at.settings} />;
  }
}

function ThemeButton() {
  const next = theme.value === "dark" ? "light" : "dark";
  return (
    <button
      type="button"
      class="quiet small"
      onClick={toggleTheme}
      aria-label={`Use ${next} colours`}
    >
      {next === "dark" ? "Dark" : "Light"}
    </button>
  );
}

/** Threads over and under each other. */
const Mark = () => (
  <svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">
    <path d="M2 5.5h8M13 5.5h3M2 12.5h3M8 12.5h8M5.5 2v8M5.5 13v3M12.5 2v1M12.5 8v8" />
  </svg>
);
