/** What a page without the right token shows: why, and how to get in. */
import { useSignal } from "@preact/signals";
import { tokenIn } from "../route.ts";
import { enter } from "../state.ts";

export function TokenForm({ why }: { why: string }) {
  const problem = useSignal<string | null>(null);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const text = new FormData(event.currentTarget as HTMLFormElement).get("token");
    const token = tokenIn(String(text));
    problem.value = token === null ? "That is neither a link with a token nor a token." : null;
    if (token !== null) enter(token);
  };
  return (
    <section class="panel narrow" data-testid="token-form">
      <h1>Open the link that the terminal printed</h1>
      {why !== "" && (
        <p class="bad-text" role="alert">
          {why}
        </p>
      )}
      <p>
        This page shows training runs to those who have the server's token. The link in the terminal
        carries it. You can also paste the link, or the token alone, here.
      </p>
      <form onSubmit={submit}>
        <label for="token">Link or token</label>
        <div class="field">
          <input
            id="token"
            name="token"
            type="text"
            autocomplete="off"
            spellcheck={false}
            required
          />
          <button type="submit" class="primary">
            Open
          </button>
        </div>
        {problem.value !== null && (
          <p class="bad-text" role="alert">
            {problem}
          </p>
        )}
      </form>
    </section>
  );
}
