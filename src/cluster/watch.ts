// The present objects of one kind: listed once, then kept up to date by a watch, so that reading them costs no request.
import { systemClock } from '../runtime/clock.ts'
import { backOffMs } from '../runtime/retry.ts'
import type { Cluster, Selection, WatchEvent } from './client.ts'
import { ApiError } from './api-error.ts'
import type { Kind, KubeObject } from './objects.ts'

export type ObjectWatch<T> = {
  current: () => readonly T[]
  /** False while the API server cannot be read, so that the objects may be out of date. */
  fresh: () => boolean
  close: () => void
}

const longestPauseMs = 5_000
/** A watch that ended on its own opens again within a moment. Until then its objects count as up to date. */
const reopenMs = 5_000

/** @throws ApiError when the first list fails. After later failures `fresh` is false until a list succeeds again. */
export async function watch<T extends KubeObject>(
  cluster: Cluster,
  kind: Kind,
  namespace?: string,
  query: Selection = {},
): Promise<ObjectWatch<T>> {
  const ending = new AbortController()
  let objects = new Map<string, T>()
  /** The objects as a list, until one of them changes. */
  let listed: T[] | undefined
  let fresh = false

  async function list(): Promise<string> {
    const { items, version } = await cluster.snapshot<T>(kind, namespace, query)
    objects = new Map(items.map((item) => [namespacedName(item), item]))
    listed = undefined
    fresh = true
    return version
  }

  function update({ type, object }: Exclude<WatchEvent, { type: 'ERROR' }>): void {
    if (type === 'BOOKMARK') return
    if (type === 'DELETED') objects.delete(namespacedName(object))
    else objects.set(namespacedName(object), object as T)
    listed = undefined
  }

  async function follow(from: string): Promise<void> {
    let version: string | undefined = from
    for (let failures = 0; !ending.signal.aborted; ) {
      let pauseMs = 0
      const lapse = setTimeout(() => (fresh = false), reopenMs)
      const onOpen = () => {
        clearTimeout(lapse)
        fresh = true
      }
      try {
        version ??= await list()
        for await (const event of cluster.changes(kind, namespace, query, version, ending.signal, onOpen)) {
          if (event.type === 'ERROR')
            throw new ApiError(event.object.code ?? 0, event.object.message ?? 'the watch ended')
          update(event)
          version = event.object.metadata.resourceVersion ?? version
          failures = 0
        }
        // The server ends every watch after some minutes; the next one continues where it ended.
      } catch (error) {
        fresh = false
        const isBusy = error instanceof ApiError && error.status === 429
        // A new list shows everything that was missed. It would cost a busy server more than the watch that it refuses.
        if (isBusy) pauseMs = Math.min(error.retryAfterMs ?? 1_000, longestPauseMs)
        else version = undefined
      } finally {
        clearTimeout(lapse)
      }
      // A watch that worked and ended starts again at once.
      pauseMs = Math.max(pauseMs, backOffMs(failures++, 200, longestPauseMs))
      await systemClock.sleep(pauseMs, ending.signal).catch(() => undefined)
    }
  }

  void follow(await list())
  return {
    current: () => (listed ??= [...objects.values()]),
    fresh: () => fresh,
    close: () => ending.abort(),
  }
}

function namespacedName({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}
