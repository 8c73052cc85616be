/** A signal that aborts with the caller's or after a time, whichever comes first; disposing of it frees timer and listener. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** True when time ran out (and not when the caller gave up). */
  readonly expired: boolean;
}

/** Waits for `promise`, or rejects with the signal's reason when it aborts first; what the promise does after that is ignored. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Starts a deadline of `ms` milliseconds over the caller's `parent` signal. Made for `using`: a long-lived parent must not gather
 * listeners, which `AbortSignal.any` leaves to the garbage collector.
 */
export function startDeadline(ms: number, parent?: AbortSignal): Deadline {
  const controller = new AbortController();
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    controller.abort(new Error(`no answer within ${Math.round(ms)} ms`));
  }, ms);
  const onParent = (): void => controller.abort(parent?.reason);
  if (parent?.aborted === true) onParent();
  else parent?.addEventListener("abort", onParent, { once: true });
  return {
    signal: controller.signal,
    get expired() {
      return expired;
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      parent?.removeEventListener("abort", onParent);
    },
  };
}

/** Resolves when `signal` aborts, or at once when it has. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
