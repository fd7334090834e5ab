/** What a page without a join token shows: why, and how to get in. */
import { useSignal } from "@preact/signals";
import { enter, open } from "../state.ts";

export function LinkForm({ why }: { why: string }) {
  const isWrong = useSignal(false);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const text = new FormData(event.currentTarget as HTMLFormElement).get("link");
    isWrong.value = !enter(String(text));
  };
  return (
    <section class="panel" data-testid="link-form">
      <h1>Open the join link</h1>
      {why !== "" && (
        <p class="bad-text" role="alert">
          {why}{" "}
          <button type="button" class="link" onClick={() => void open()}>
            Try again
          </button>
        </p>
      )}
      <p>
        The terminal of the server prints a link for each device, and its page shows them as QR
        codes. You can also paste the link here.
      </p>
      <form onSubmit={submit}>
        <div class="item">
          <label for="link">Link or token</label>
          <input
            id="link"
            name="link"
            type="text"
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            required
          />
        </div>
        {isWrong.value && (
          <p class="bad-text" role="alert">
            That is neither a link with a token nor a token.
          </p>
        )}
        <button type="submit" class="primary">
          Open
        </button>
      </form>
    </section>
  );
}
