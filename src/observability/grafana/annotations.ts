// Writes an annotation to Grafana at each step of a promotion and at its verdict. The dashboards find them by their tags.
import { withCluster } from '../../runtime/cluster-text.ts'
import { unlessAborted } from '../../runtime/timeout.ts'
import { dashboardTag } from '../dashboards/index.ts'
import type { GrafanaApi } from './api.ts'

/**
 * A promotion as it is now; steps are only ever added. `cluster`: its name in a fleet. `at`: milliseconds since the epoch.
 * `ended`: its verdict.
 */
export type Followed = {
  cluster?: string
  namespace: string
  service: string
  stable: string
  canary: string
  steps: readonly { at: number; text: string }[]
  ended?: { at: number; verdict: string; reason: string }
}

/** As Grafana takes it, with `time` in milliseconds since the epoch. */
export type Annotation = { time: number; tags: string[]; text: string }

/** All annotations of a promotion so far, in their order. */
function annotationsOf({ cluster, namespace, service, stable, canary, steps, ended }: Followed): Annotation[] {
  const tags = [dashboardTag, ...(cluster === undefined ? [] : [cluster]), namespace, service]
  const title = withCluster(cluster, `${service}: ${stable} → ${canary}`)
  return [
    ...steps.map(({ at, text }) => ({ time: at, tags, text: `${title}, ${text}` })),
    ...(ended
      ? [{ time: ended.at, tags: [...tags, ended.verdict], text: `${title}, ${ended.verdict}: ${ended.reason}` }]
      : []),
  ]
}

export type Annotator = {
  /** Starts to write what is new. Never throws, and waits for nothing. */
  follow: (promotions: readonly Followed[]) => void
  /** Waits for the writes under way, at most for `limitMs`, and no longer than until `signal` aborts. */
  finish: (limitMs: number, signal: AbortSignal) => Promise<void>
}

/** `onFailure` gets the first error only: a Grafana that does not answer must not fill the log, nor stop a promotion. */
export function createAnnotator(api: GrafanaApi, onFailure: (error: unknown) => void): Annotator {
  const written = new Map<string, number>()
  let hasFailed = false
  let waiting = 0
  let queue = Promise.resolve()
  const fail = (error: unknown) => {
    if (!hasFailed) onFailure(error)
    hasFailed = true
  }
  const write = (annotation: Annotation) => {
    waiting++
    queue = queue
      .then(async () => void (await api('POST', '/api/annotations', annotation)))
      .catch(fail)
      .finally(() => waiting--)
  }
  return {
    follow(promotions) {
      for (const promotion of promotions) {
        const key = `${promotion.namespace}/${promotion.service}`
        const all = annotationsOf(promotion)
        all.slice(written.get(key) ?? 0).forEach(write)
        written.set(key, all.length)
      }
    },
    async finish(limitMs, signal) {
      if (waiting === 0) return
      await unlessAborted(queue, AbortSignal.any([AbortSignal.timeout(limitMs), signal])).catch(() => {
        const limit = signal.aborted ? 'before the run was cancelled' : `within ${limitMs / 1000} s`
        fail(new Error(`Grafana did not take all annotations ${limit}`))
      })
    },
  }
}
