// Calls webhooks with the same payload and for the same hook types as Flagger, so a service written for Flagger works
// here. See https://docs.flagger.app/usage/webhooks; we add `type`, `canaryWeight`, `stable`, `canary` and, in a fleet, `cluster`.
import { createHash } from 'node:crypto'
import type { CanaryConfig } from '../../config/schema.ts'
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { fetchFailure } from '../../runtime/errors.ts'
import type { CheckAnswer, Finding, Gate } from '../state/finding.ts'
import type { PromotionStatus } from './promotion-status.ts'

type Webhook = CanaryConfig['webhooks'][string]

export type Webhooks = {
  /** Calls all hooks of the type, and returns their combined answer. */
  ask: (kind: Gate) => Promise<Finding>
  /** Calls all hooks of the type. Never rejects: it only notes a failed call. */
  notify: (kind: 'post-rollout' | 'event', message: string) => Promise<void>
}

export function createWebhooks(
  plan: CanaryConfig,
  status: () => PromotionStatus,
  note: (line: string) => void,
  clock: Clock = systemClock,
): Webhooks {
  const hooksOf = (kind: Webhook['type']) => Object.entries(plan.webhooks).filter(([, { type }]) => type === kind)
  return {
    async ask(kind) {
      const now = status()
      const findings = await Promise.all(
        hooksOf(kind).map(async ([name, hook]): Promise<Finding> => {
          const answer = await callWebhook(plan, hook, now)
          return { name, ...answer, at: clock.now() }
        }),
      )
      const none: Finding = { name: kind, state: 'undecided', text: 'there is no such webhook', at: clock.now() }
      return decisive(kind, findings) ?? none
    },
    async notify(kind, message) {
      const now = status()
      const metadata = kind === 'event' ? eventMetadata(now, message) : {}
      const calls = hooksOf(kind).map(async ([name, hook]) => {
        const { state, text } = await callWebhook(plan, hook, now, metadata)
        if (state !== 'pass') note(`the webhook ${name} (${kind}) did not accept the message: ${text}`)
      })
      await Promise.all(calls)
    },
  }
}

/** One hook can request a rollback. For any other gate, all hooks must pass. */
function decisive(kind: Gate, findings: Finding[]): Finding | undefined {
  const passes = ({ state }: Finding) => state === 'pass'
  const first = kind === 'rollback' ? findings.find(passes) : findings.find((finding) => !passes(finding))
  return first ?? findings[0]
}

function eventMetadata({ phase }: PromotionStatus, eventMessage: string): Record<string, string> {
  return { eventMessage, eventType: phase === 'Failed' ? 'Warning' : 'Normal', timestamp: String(Date.now()) }
}

/** Only a 2xx status passes. A hook that does not answer is called again, up to `retries` times, and then fails. */
export async function callWebhook(
  plan: CanaryConfig,
  hook: Webhook,
  status: PromotionStatus,
  metadata: Record<string, string> = {},
): Promise<CheckAnswer> {
  const body = JSON.stringify(payload(plan, hook, status, metadata))
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
      const line = firstLine(await response.text())
      return { state: response.ok ? 'pass' : 'fail', text: `HTTP ${response.status}${line && `: ${line}`}` }
    } catch (error) {
      problem = fetchFailure(error)
    }
  }
  // The URL may hold a secret: only the host is shown.
  const { host } = new URL(hook.url)
  return { state: 'fail', text: `no answer from ${host}: ${problem} (\`timeout\` ${hook.timeout / 1000} s)` }
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0]!.slice(0, 200)
}

/** The checksum distinguishes the plans of two promotions, also those of a fleet. */
function payload(
  plan: CanaryConfig,
  { type, metadata }: Webhook,
  { namespace, service, phase, weight, stable, canary, cluster }: PromotionStatus,
  more: Record<string, string>,
): object {
  const checksum = createHash('sha256')
    .update(JSON.stringify([namespace, plan, ...(cluster ? [cluster.name] : [])]))
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
    ...(cluster ? { cluster: cluster.name } : {}),
    metadata: { ...metadata, ...more },
  }
}
