// The difference between two states of an object, as lines for people. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { KubeObject } from '../cluster/objects.ts'

/** The parts of an object that users write; an apply may change the field managers, and nothing else. */
function userParts(object: KubeObject & { spec?: unknown }): { labels: unknown; annotations: unknown; spec: unknown } {
  return { labels: object.metadata.labels, annotations: object.metadata.annotations, spec: object.spec }
}

export function isUnchanged(before: KubeObject, after: KubeObject): boolean {
  return isDeepStrictEqual(userParts(before), userParts(after))
}

/** Lines such as `- spec.http[0].timeout: 10s` and `+ spec.http[0].timeout: 5s`, in the order of the newer state. */
export function diff(before: KubeObject | undefined, after: KubeObject | undefined): string[] {
  const leavesOf = (object: KubeObject | undefined) => (object ? leaves(userParts(object)) : new Map<string, string>())
  const [old, now] = [leavesOf(before), leavesOf(after)]
  const paths = [...new Set([...now.keys(), ...old.keys()])].filter((path) => old.get(path) !== now.get(path))
  return paths.flatMap((path) => [
    ...(old.has(path) ? [`- ${path}: ${old.get(path)}`] : []),
    ...(now.has(path) ? [`+ ${path}: ${now.get(path)}`] : []),
  ])
}

/** Every value by its path. An empty map or list is a value too, because it means something in a policy. */
function leaves(value: unknown, path = ''): Map<string, string> {
  if (value === undefined) return new Map()
  const entries =
    typeof value === 'object' && value !== null
      ? Object.entries(value).map(([key, each]): [string, unknown] => [pathTo(path, key, value), each])
      : []
  if (entries.length > 0) return new Map(entries.flatMap(([at, each]) => [...leaves(each, at)]))
  return new Map([[path, typeof value === 'string' && value !== '' ? value : JSON.stringify(value)]])
}

function pathTo(path: string, key: string, parent: object): string {
  if (Array.isArray(parent)) return `${path}[${key}]`
  if (/[./]/.test(key)) return `${path}["${key}"]`
  return path === '' ? key : `${path}.${key}`
}
