/** A whole number from the environment, or `fallback` if it is not set; what is no number is added to `problems`. */
export function integerVariable(env: NodeJS.ProcessEnv, name: string, fallback: number, problems: string[]): number {
  const text = env[name];
  if (text === undefined || text === "") return fallback;
  if (/^[0-9]{1,6}$/.test(text)) return Number(text);
  problems.push(`${name}="${text}" is no whole number`);
  return fallback;
}
