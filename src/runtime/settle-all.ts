/**
 * Like Promise.all, but waits for all of the work, so that one failure keeps no other from finishing.
 * @throws Error whose message has a line for each failure.
 */
export async function settleAll<T>(work: Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(work)
  const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []))
  if (reasons.length > 0) throw new Error(reasons.map(({ message }) => message).join('\n'), { cause: reasons[0] })
  return Promise.all(work)
}
