// Reads a list in pages, so that no answer of a large cluster is huge and the API server sends each from its cache.
import { ApiError } from './api-error.ts'
import { neededFields } from './needed-fields.ts'
import { apiVersionOf, type Kind, type KubeObject } from './objects.ts'

/** `version`: from which a watch continues. */
export type Snapshot<T> = { items: T[]; version: string }

type Page<T> = { items: T[]; metadata?: { resourceVersion?: string; continue?: string } }
type ReadPage = <T>(path: string, options: { query: Record<string, string>; canWait: true }) => Promise<T>

/** Of pods with sidecars that is about one megabyte, which is forgotten at once when it is read. */
const pageSize = 100
/** After so many expired lists, one is read in a single answer. */
const maxRestarts = 2

/** All objects of one moment. @throws ApiError */
export async function readPages<T extends KubeObject>(
  read: ReadPage,
  kind: Kind,
  path: string,
  query: Record<string, string>,
): Promise<Snapshot<T>> {
  for (let restarts = 0; ; restarts++) {
    const limit: Record<string, string> = restarts < maxRestarts ? { limit: String(pageSize) } : {}
    try {
      return await readOnce<T>(
        (more) => read<Page<T>>(path, { query: { ...query, ...limit, ...more }, canWait: true }),
        kind,
      )
    } catch (error) {
      // The API server keeps the moment of a list for some minutes only; the objects of two moments do not mix.
      if (!(error instanceof ApiError && error.status === 410) || restarts >= maxRestarts) throw error
    }
  }
}

async function readOnce<T extends KubeObject>(
  readPage: (more: Record<string, string>) => Promise<Page<T>>,
  kind: Kind,
): Promise<Snapshot<T>> {
  const all: T[] = []
  for (let more: Record<string, string> = {}; ; ) {
    const { items, metadata = {} } = await readPage(more)
    // The API server omits the kind of a list's items.
    for (const item of items)
      all.push(neededFields(kind, { ...item, apiVersion: apiVersionOf(kind), kind: kind.split('.')[0]! }))
    if (!metadata.continue) return { items: all, version: metadata.resourceVersion ?? '' }
    more = { continue: metadata.continue }
  }
}
