// The difference between two values, leaf by leaf, as lines for people. Pure.

/** `before` and `after` are undefined where the leaf is absent. */
export type LeafChange = { path: string; before?: string; after?: string }

/** `byName`: items of a list are told apart by their `name`, not by their position, if each has its own. */
export type LeafOptions = { byName?: boolean }

/** The leaves that differ, in the order of the newer state. */
export function leafChanges(before: unknown, after: unknown, options: LeafOptions = {}): LeafChange[] {
  const [old, now] = [leavesOf(before, options), leavesOf(after, options)]
  const paths = [...new Set([...now.keys(), ...old.keys()])].filter((path) => old.get(path) !== now.get(path))
  return paths.map((path) => ({
    path,
    ...(old.has(path) ? { before: old.get(path)! } : {}),
    ...(now.has(path) ? { after: now.get(path)! } : {}),
  }))
}

/** Lines such as `- spec.http[0].timeout: 10s` and `+ spec.http[0].timeout: 5s`. */
export function diffLines(changes: readonly LeafChange[]): string[] {
  return changes.flatMap(({ path, before, after }) => [
    ...(before === undefined ? [] : [`- ${path}: ${shortened(before)}`]),
    ...(after === undefined ? [] : [`+ ${path}: ${shortened(after)}`]),
  ])
}

/** A whole file in a ConfigMap would hide the other changes. */
function shortened(value: string): string {
  return value.length <= 1_000 ? value : `${value.slice(0, 100)}… (${value.length} characters)`
}

/** Every value by its path. An empty map or list is a value too, because it means something in a policy. */
function leavesOf(value: unknown, options: LeafOptions, path = ''): Map<string, string> {
  if (value === undefined) return new Map()
  const entries =
    typeof value === 'object' && value !== null
      ? Object.entries(value).map(([key, each]): [string, unknown] => [pathTo(path, key, value, options), each])
      : []
  if (entries.length > 0) return new Map(entries.flatMap(([at, each]) => [...leavesOf(each, options, at)]))
  return new Map([[path, typeof value === 'string' && value !== '' ? value : JSON.stringify(value)]])
}

function pathTo(path: string, key: string, parent: object, { byName = false }: LeafOptions): string {
  if (Array.isArray(parent)) return `${path}[${(byName ? namesIn(parent)?.[Number(key)] : undefined) ?? key}]`
  if (/[./]/.test(key)) return `${path}["${key}"]`
  return path === '' ? key : `${path}.${key}`
}

/** The names of the items; undefined unless each item has one of its own. */
function namesIn(items: readonly unknown[]): string[] | undefined {
  const names = items.map((item) => (item as { name?: unknown } | null)?.name)
  const isNamed = names.every((name) => typeof name === 'string') && new Set(names).size === names.length
  return isNamed ? names : undefined
}
