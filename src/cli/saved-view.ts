// What a Lease has saved of a promotion, for people. Any program that may write a Lease may have written it, so its shape is checked.
import * as z from 'zod'
import { savedPromotion } from '../canary/ownership/lease-object.ts'
import type { Lease } from '../cluster/objects.ts'

const count = z.number().nonnegative()
const tally = z.object({ requests: count, failures: count }).refine(({ requests, failures }) => failures <= requests)
const check = z.object({
  check: z.string(),
  failEvidence: count,
  failThreshold: z.number().positive(),
  passEvidence: count,
  passThreshold: z.number().positive(),
})
const active = z.enum(['waiting', 'shifting', 'watching', 'confirming'])
const ended = z.object({ phase: z.literal('ended'), weight: count, verdict: z.string(), reason: z.string() })

const savedView = z.object({
  /** Milliseconds since the epoch. */
  savedAt: z.string().transform(Date.parse).pipe(z.number()),
  state: z.union([ended, z.object({ phase: active, weight: count })]),
  shown: z
    .object({
      service: z.string(),
      stable: z.string(),
      canary: z.string(),
      phase: z.enum([...active.options, 'ended']),
      stage: count,
      stages: count,
      kind: z.enum(['weight', 'mirror', 'ab']).optional(),
      weight: count,
      msLeft: count,
      served: z.object({ canary: tally, stable: tally, users: tally }),
      checks: z.array(check),
      guardMs: count.optional(),
    })
    .optional(),
})

export type SavedView = z.infer<typeof savedView>

/** Undefined if nothing is saved, or in a shape that this version does not know. */
export function savedViewOf(lease: Lease): SavedView | undefined {
  return savedView.safeParse(savedPromotion(lease)).data
}
