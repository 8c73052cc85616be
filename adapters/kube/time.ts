/** A metav1.MicroTime: RFC 3339 in UTC with six decimals. */
export function microTime(time: Date): string {
  return time.toISOString().replace("Z", "000Z");
}
