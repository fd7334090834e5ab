/**
 * In a file of its own: the entry point hands it on, and declarations that the
 * package's users see must not lead to those of the WebSocket package.
 */

/** First port tried when none is asked for. */
export const defaultPort = 7070;
