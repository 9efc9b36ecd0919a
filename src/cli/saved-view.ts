// What a Lease has saved of a promotion, for people. Any program that may write a Lease may have written it, so its shape
// is checked.
import * as z from 'zod'
import { savedPromotion } from '../canary/ownership/lease-object.ts'
import type { Lease } from '../cluster/objects.ts'

const tally = z.object({ requests: z.number(), failures: z.number() })
const check = z.object({
  check: z.string(),
  failEvidence: z.number(),
  failThreshold: z.number(),
  passEvidence: z.number(),
  passThreshold: z.number(),
})
const phase = z.enum(['waiting', 'shifting', 'watching', 'confirming', 'ended'])

const savedView = z.object({
  /** The run that has saved it. */
  run: z.string(),
  /** Milliseconds since the epoch. */
  savedAt: z.string().transform(Date.parse).pipe(z.number()),
  state: z.object({ phase, weight: z.number(), verdict: z.string().optional(), reason: z.string().optional() }),
  shown: z
    .object({
      service: z.string(),
      stable: z.string(),
      canary: z.string(),
      phase,
      stage: z.number(),
      stages: z.number(),
      kind: z.enum(['weight', 'mirror', 'ab']).optional(),
      weight: z.number(),
      msLeft: z.number(),
      served: z.object({ canary: tally, stable: tally, users: tally }),
      checks: z.array(check),
      guardMs: z.number().optional(),
    })
    .optional(),
})

export type SavedView = z.infer<typeof savedView>

/** Undefined if nothing is saved, or in a shape that this version does not know. */
export function savedViewOf(lease: Lease): SavedView | undefined {
  return savedView.safeParse(savedPromotion(lease)).data
}
