// Lists the objects of a kind as far as the account may read them.
import { isNotFound, undefinedWhenForbidden } from './api-error.ts'
import type { Cluster } from './client.ts'
import type { Kind, KubeObject } from './objects.ts'

/** `unread`: what the account may not read, in words. A kind that the cluster lacks has no objects, and none unread. */
export type Readable<T> = { objects: T[]; unread: string[] }

/** The objects of the namespaces. */
export async function listReadable<T extends KubeObject>(
  cluster: Cluster,
  kind: Kind,
  namespaces: readonly string[],
): Promise<Readable<T>> {
  return combine(kind, namespaces, await readEach<T>(cluster, kind, namespaces))
}

/** The objects of all namespaces or, without the right to read them, those of the given ones. */
export async function listReadableEverywhere<T extends KubeObject>(
  cluster: Cluster,
  kind: Kind,
  namespaces: readonly string[],
): Promise<Readable<T>> {
  const all = await read<T>(cluster, kind)
  if (all) return combine(kind, [], [all])
  return combine(kind, namespaces, await readEach<T>(cluster, kind, namespaces), [`${kind}s of other namespaces`])
}

/** Undefined without the right to read them. */
type Answer<T> = T[] | 'absent' | undefined

function readEach<T extends KubeObject>(
  cluster: Cluster,
  kind: Kind,
  namespaces: readonly string[],
): Promise<Answer<T>[]> {
  return Promise.all(namespaces.map((namespace) => read<T>(cluster, kind, namespace)))
}

function read<T extends KubeObject>(cluster: Cluster, kind: Kind, namespace?: string): Promise<Answer<T>> {
  return cluster
    .list<T>(kind, namespace)
    .catch((error: unknown) => (isNotFound(error) ? 'absent' : undefinedWhenForbidden(error)))
}

/** The API server refuses an account without rights before it looks for the kind, so one namespace tells for all. */
function combine<T>(
  kind: Kind,
  namespaces: readonly string[],
  answers: Answer<T>[],
  others: string[] = [],
): Readable<T> {
  if (answers.includes('absent')) return { objects: [], unread: [] }
  const refused = namespaces.filter((_, i) => answers[i] === undefined)
  return {
    objects: answers.flatMap((answer) => (Array.isArray(answer) ? answer : [])),
    unread: [...others, ...refused.map((namespace) => `${kind}s of ${namespace}`)],
  }
}
