// Keys that had another name before version 1: whoever still writes one is told the new one.

export const renamedKeys: Record<string, string> = {
  'canary.patience': 'progressDeadline',
  'canary.confirmWithin': 'confirmTimeout',
  'canary.waitForRun': 'leaseWaitTimeout',
  'canary.tick': 'pollInterval',
  'verify.deep': 'trafficChecks',
}

export const renamedInputs: Record<string, string> = { deep: 'traffic-checks' }

/** The new name of a key in the config file, if `path` ended in an old one; canaries of a list count like a single one. */
export function newNameOfKey(path: readonly (string | number)[]): string | undefined {
  const pattern = path[0] === 'canaries' ? ['canary', ...path.slice(2)] : path
  return renamedKeys[pattern.join('.')]
}

/** The new name of an input, if `name` is an old one. */
export function newNameOfInput(name: string): string | undefined {
  return renamedInputs[name]
}
