// Envoy's response flags, as its counters, logs and spans write them: names between commas, or `-`. Pure.

/**
 * No healthy endpoint (UH), no connection to the endpoint (UF), no room in its pool (UO), no route (NR), no cluster for
 * the subset (NC).
 */
export const flagsWithoutPod = ['UH', 'UF', 'UO', 'NR', 'NC']

/** True for a call that failed at the caller, before any pod saw it. */
export function hasReachedNoPod(flags: string): boolean {
  return flags.split(',').some((flag) => flagsWithoutPod.includes(flag))
}
