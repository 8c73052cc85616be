/**
 * A failure with a code that callers switch on. `terminal` says that trying again without a change of input is useless.
 * Messages may reach users (conditions, Events, admission responses): they carry no secret and no foreign body.
 */
export class DomainError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly terminal: boolean;

  constructor(code: Code, message: string, options: { cause?: unknown; terminal?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "DomainError";
    this.code = code;
    this.terminal = options.terminal ?? false;
  }
}

/** The text of whatever was thrown, for messages: never a stack, never `[object Object]`. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
