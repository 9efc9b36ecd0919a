// The result of a JSON Patch at the API server, for the operations that we use.
import type { PatchOperation } from '../../src/cluster/client.ts'

/** A copy of the object with the operations applied. Throws where a path does not exist or a test fails. */
export function patched<T>(object: T, operations: readonly PatchOperation[]): T {
  const copy = structuredClone(object)
  for (const { op, path, value } of operations) {
    const keys = path
      .slice(1)
      .split('/')
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = keys.pop()!
    const parent = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], copy)
    if (typeof parent !== 'object' || parent === null) throw new Error(`there is no ${path}`)
    const map = parent as Record<string, unknown>
    if (op !== 'add' && !(last in map)) throw new Error(`there is no ${path}`)
    if (op === 'test' && JSON.stringify(map[last]) !== JSON.stringify(value))
      throw new Error(`${path} is not ${JSON.stringify(value)}`)
    if (op === 'remove' && Array.isArray(parent)) parent.splice(Number(last), 1)
    else if (op === 'remove') Reflect.deleteProperty(map, last)
    else if (op === 'add' && Array.isArray(parent)) parent.splice(Number(last), 0, structuredClone(value))
    else if (op === 'add' || op === 'replace') map[last] = structuredClone(value)
  }
  return copy
}
