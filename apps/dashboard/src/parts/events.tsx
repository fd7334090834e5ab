/** What happened, in words, newest first; spoken politely and not too often. */
import { useSignal } from "@preact/signals";
import type { TimedEvent } from "edgeloom";
import { useEffect, useRef } from "preact/hooks";
import type { RunModel } from "../run-model.ts";
import { clock } from "../words.ts";

/** Events shown before the reader asks for all. */
const shownMax = 100;
/** Least time between two announcements. */
const announceMs = 5000;

export function Events({ model, isLive }: { model: RunModel; isLive: boolean }) {
  model.beat.value;
  const showsAll = useSignal(false);
  const { events } = model.history;
  const shown = showsAll.value ? events : events.slice(-shownMax);
  return (
    <section class="panel" aria-labelledby="events">
      <h2 id="events">What happened</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
      <ol class="events" data-testid="events" tabIndex={0} aria-label="Events, newest first">
        {shown.toReversed().map((event, i) => (
          <Event key={events.length - i} event={event} />
        ))}
      </ol>
      {shown.length < events.length && (
        <button type="button" class="quiet" onClick={() => (showsAll.value = true)}>
          Show all {events.length} events
        </button>
      )}
      {isLive && <Announcer model={model} />}
    </section>
  );
}

const Event = ({ event: { atMs, kind, text } }: { event: TimedEvent }) => (
  <li class={kind}>
    <time>{clock(atMs)}</time> <span>{text}</span>
  </li>
);

/** Says new events to those who listen to the page; several at once where they come fast. */
function Announcer({ model }: { model: RunModel }) {
  const text = useSignal("");
  const said = useRef(model.history.events.length);
  useEffect(() => {
    said.current = model.history.events.length;
    const timer = setInterval(() => {
      const fresh = model.history.events.slice(said.current);
      said.current += fresh.length;
      if (fresh.length === 0) return;
      const last = fresh.slice(-3).map((event) => event.text);
      const more = fresh.length > 3 ? `${fresh.length - 3} more events; ` : "";
      text.value = more + last.join(". ");
    }, announceMs);
    return () => clearInterval(timer);
  }, [model, text]);
  return (
    <p class="unseen" role="status" aria-live="polite">
      {text}
    </p>
  );
}
