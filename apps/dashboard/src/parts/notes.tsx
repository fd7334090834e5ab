/** What the reader should know before trusting what is shown: older versions, half-written records. */
export const Notes = ({ notes }: { notes: readonly string[] }) =>
  notes.length === 0 ? null : (
    <aside class="notes" data-testid="notes" aria-label="Notes on these records">
      {notes.map((note) => (
        <p key={note}>Note: {note}.</p>
      ))}
    </aside>
  );
