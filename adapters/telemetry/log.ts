import pino from "pino";

/** Structured logging: a constant message and fields. Never put variable content, secrets or foreign bodies into the message. */
export interface Log {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
  child(fields: object): Log;
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
    child: (fields) => wrap(logger.child(fields)),
  };
}

/** A JSON logger to standard output; `component` is bound to every line. */
export function createLog(component: string, level: string): Log {
  return wrap(pino({ level, base: { component }, timestamp: pino.stdTimeFunctions.isoTime }));
}

/** A logger that says nothing, for tests. */
export const silentLog: Log = wrap(pino({ level: "silent" }));
