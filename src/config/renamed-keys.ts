// Keys that had another name before version 1. The error for an old name gives the new one.

export const renamedKeys: Record<string, string> = {
  'canary.patience': 'progressDeadline',
  'canary.confirmWithin': 'confirmTimeout',
  'canary.waitForRun': 'leaseWaitTimeout',
  'canary.tick': 'pollInterval',
  'canary.checks.falseAlarm': 'falseRollback',
  'verify.deep': 'trafficChecks',
  'edge.tyk.proof': 'probe',
}

export const renamedInputs: Record<string, string> = { deep: 'traffic-checks' }

/** What the table holds itself: a user's key may be `constructor`, which every object inherits. */
function lookUp(table: Record<string, string>, name: string): string | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}

/** The new name of the key at the end of `path`, if it was renamed. `canaries` has the same keys as `canary`. */
export function newNameOfKey(path: readonly (string | number)[]): string | undefined {
  const pattern = path[0] === 'canaries' ? ['canary', ...path.slice(2)] : path
  return lookUp(renamedKeys, pattern.join('.'))
}

/** The new name of the input, if it was renamed. */
export function newNameOfInput(name: string): string | undefined {
  return lookUp(renamedInputs, name)
}
