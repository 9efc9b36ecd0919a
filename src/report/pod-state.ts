import type { PodRow } from '../verify/pods.ts'
import type { Headline } from './headline.ts'

/** Whether a pod is as it should be, in words. The checks of a promotion tell about a pod of its canary. Pure. */
export function podState({ ok, cause }: Pick<PodRow, 'ok' | 'cause'>): { tone: Headline['tone']; text: string } {
  if (ok) return { tone: 'good', text: '✓ ready' }
  return cause === undefined
    ? { tone: 'open', text: 'left to the checks of the promotion' }
    : { tone: 'bad', text: `✗ ${cause}` }
}
