// The single values that a fault changes in an object. A list element is found by its name or port, so that the value is
// found again when somebody else has changed the object around it. Pure.
import { isDeepStrictEqual } from 'node:util'

/** A key, or the element of a list with this name, or with this port number. */
export type PathStep = string | { name: string } | { port: number }

/** A value that the fault writes. Without `before` it did not exist. `existing`: how many steps of the path did. */
export type ChangedField = { path: PathStep[]; before?: unknown; wrote: unknown; existing: number }

type Container = Record<string, unknown>

export function changedField(object: object, path: PathStep[], wrote: unknown): ChangedField {
  const before = valueAt(object, path)
  const existing = path.findIndex((_, i) => valueAt(object, path.slice(0, i + 1)) === undefined)
  return { path, ...(before === undefined ? {} : { before }), wrote, existing: existing < 0 ? path.length : existing }
}

/** A copy of the object with the values that the fault writes. */
export function withFields<T extends object>(object: T, fields: ChangedField[]): T {
  const copy = structuredClone(object)
  for (const { path, wrote } of fields) containerOf(copy, path)[keyOf(path)] = wrote
  return copy
}

/** A copy of the object without those values that are still as the fault wrote them: another value is somebody else's. */
export function withoutFields<T extends object>(object: T, fields: ChangedField[]): T {
  const copy = structuredClone(object)
  for (const field of fields.filter((each) => isChanged(copy, each))) {
    const { path, before } = field
    if (before !== undefined) containerOf(copy, path)[keyOf(path)] = before
    else removeAt(copy, field)
  }
  return copy
}

/** True while the object has what the fault wrote, and had something else before. */
export function isChanged(object: object, { path, before, wrote }: ChangedField): boolean {
  return !isDeepStrictEqual(before, wrote) && isDeepStrictEqual(valueAt(object, path), wrote)
}

/** True while the object has what the fault wrote. */
export function isAsWritten(object: object, { path, wrote }: ChangedField): boolean {
  return isDeepStrictEqual(valueAt(object, path), wrote)
}

/** Also removes what the fault had to create around the value, unless somebody else uses it as well. */
function removeAt(object: object, { path, existing }: ChangedField): void {
  for (let length = path.length; length > existing; length--) {
    const at = path.slice(0, length)
    const isLeaf = length === path.length
    if (!isLeaf && Object.keys(valueAt(object, at) as object).length > 0) return
    Reflect.deleteProperty(containerOf(object, at), keyOf(at))
  }
}

function valueAt(object: object, path: PathStep[]): unknown {
  return path.reduce<unknown>(child, object)
}

function child(value: unknown, step: PathStep): unknown {
  if (typeof step === 'string') return (value as Container | undefined)?.[step]
  return Array.isArray(value) ? value.find((each) => isNamed(each as Container, step)) : undefined
}

function isNamed(element: Container, step: Exclude<PathStep, string>): boolean {
  if ('name' in step) return element['name'] === step.name
  return (element['port'] as { number?: number } | undefined)?.number === step.port
}

/** Where the last step of the path is, which is a key. Creates the keys on the way. */
function containerOf(object: object, path: PathStep[]): Container {
  return path.slice(0, -1).reduce<Container>((value, step) => {
    if (typeof step !== 'string') return child(value, step) as Container
    return (value[step] ??= {}) as Container
  }, object as Container)
}

function keyOf(path: PathStep[]): string {
  return path.at(-1) as string
}
