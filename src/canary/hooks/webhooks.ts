// Webhooks as Flagger calls them: the same payload to the same kinds of hooks, so that a service written for it works here.
// See https://docs.flagger.app/usage/webhooks; `type`, `canaryWeight` and `stable` are ours beside it.
import { createHash } from 'node:crypto'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Answer, Finding, Gate, PromotionStatus } from './finding.ts'
import { fetchFailure } from '../metrics/prometheus.ts'
import { monotonicNow } from '../../runtime/clock.ts'

type Webhook = CanaryConfig['webhooks'][string]

export type Webhooks = {
  /** What all hooks of the kind answer together: one that does not pass speaks for them. */
  ask: (kind: Gate) => Promise<Finding>
  /** Never rejects: what fails is only noted. */
  tell: (kind: 'post-rollout' | 'event', message: string) => Promise<void>
}

export function createWebhooks(
  plan: CanaryConfig,
  outside: () => PromotionStatus,
  note: (line: string) => void,
): Webhooks {
  const of = (kind: Webhook['type']) => Object.entries(plan.webhooks).filter(([, { type }]) => type === kind)
  return {
    async ask(kind) {
      const told = outside()
      const answers = await Promise.all(
        of(kind).map(async ([name, hook]) => ({ name, ...(await callWebhook(plan, hook, told)), at: monotonicNow() })),
      )
      const passes = ({ state }: Finding) => state === 'pass'
      // Any one of those that may put it back is enough; all of those that confirm have to.
      const speaker = kind === 'rollback' ? answers.find(passes) : answers.find((answer) => !passes(answer))
      return (
        speaker ??
        answers[0] ?? { name: kind, state: 'undecided', text: 'there is no such webhook', at: monotonicNow() }
      )
    },
    async tell(kind, message) {
      const told = outside()
      await Promise.all(
        of(kind).map(async ([name, hook]) => {
          const { state, text } = await callWebhook(plan, hook, told, kind === 'event' ? eventOf(told, message) : {})
          if (state !== 'pass') note(`the webhook ${name} could not be told (${kind}): ${text}`)
        }),
      )
    },
  }
}

function eventOf({ phase }: PromotionStatus, eventMessage: string): Record<string, string> {
  return { eventMessage, eventType: phase === 'Failed' ? 'Warning' : 'Normal', timestamp: String(Date.now()) }
}

/** Only 2xx passes. Without an answer it is asked again, as often as the hook allows, and then that counts as a no. */
export async function callWebhook(
  plan: CanaryConfig,
  hook: Webhook,
  outside: PromotionStatus,
  metadata: Record<string, string> = {},
): Promise<Answer> {
  const body = JSON.stringify(payload(plan, hook, outside, metadata))
  let problem = ''
  for (let attempt = 0; attempt <= hook.retries; attempt++) {
    try {
      const response = await fetch(hook.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        redirect: 'manual',
        signal: AbortSignal.timeout(hook.timeout),
      })
      const said = firstLine(await response.text())
      return { state: response.ok ? 'pass' : 'fail', text: `HTTP ${response.status}${said && `: ${said}`}` }
    } catch (error) {
      problem = fetchFailure(error)
    }
  }
  // The address may hold a secret: only the host is shown.
  return {
    state: 'fail',
    text: `${new URL(hook.url).host} does not answer: ${problem} (\`timeout\` ${hook.timeout / 1000} s)`,
  }
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0]!.slice(0, 200)
}

/** The checksum tells one promotion's plan from another's. */
function payload(
  plan: CanaryConfig,
  { type, metadata }: Webhook,
  { namespace, service, phase, weight, stable, canary }: PromotionStatus,
  more: Record<string, string>,
): object {
  const checksum = createHash('sha256')
    .update(JSON.stringify([namespace, plan]))
    .digest('hex')
    .slice(0, 10)
  return {
    name: service,
    namespace,
    phase,
    checksum,
    type,
    canaryWeight: weight,
    stable,
    canary,
    metadata: { ...metadata, ...more },
  }
}
