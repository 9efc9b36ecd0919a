// `inject.chaosMesh`: a fault that Chaos Mesh injects, written in the config or in a file of its own.
import * as z from 'zod'
import { chaosKinds } from '../chaos-kinds.ts'
import { nonEmptyString } from '../values/strings.ts'
import { hasExactlyOne } from './parts.ts'

const aloneKinds: Record<string, string> = {
  Schedule: 'a Schedule injects again and again, and an experiment injects once: write the object that it repeats',
  Workflow: 'a Workflow injects by a plan of its own: write the object of one step',
  HTTPChaos: 'HTTPChaos does not act on traffic that a sidecar redirects: use `delay` or `abort`',
}

/** Why an object of the kind cannot be injected; undefined if it can. */
export function chaosKindFault(kind: unknown): string | undefined {
  if (chaosKinds.some((each) => each === kind)) return undefined
  return `expected one of ${chaosKinds.join(', ')}${reason(kind)}`
}

function reason(kind: unknown): string {
  const known = typeof kind === 'string' ? aloneKinds[kind] : undefined
  return known === undefined ? '' : `; ${known}`
}

export const chaosMesh = z
  .strictObject({
    file: nonEmptyString
      .optional()
      .describe(
        'File with one object of Chaos Mesh, instead of `kind` and `spec`. Its name and namespace do not matter.',
      ),
    kind: z
      .enum(chaosKinds, { error: ({ input }) => chaosKindFault(input) ?? '' })
      .optional()
      .describe('Kind of the object.'),
    spec: z
      .record(z.string(), z.unknown())
      .optional()
      .describe(
        'The object as Chaos Mesh knows it, without `duration`, which the experiment sets. `selector` has `labelSelectors`; ' +
          'its namespace is that of the config.',
      ),
  })
  .refine(({ file, kind, spec }) => hasExactlyOne({ file, inline: kind ?? spec }), {
    error: 'expected either `file`, or `kind` and `spec`',
  })
  .refine(({ file, kind, spec }) => file !== undefined || (kind !== undefined && spec !== undefined), {
    error: 'expected `kind` and `spec` together',
  })
