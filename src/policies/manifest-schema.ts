// The form of a manifest as far as it is read here, before the server judges the whole: what merging, weights and subsets go
// through must be there.
import * as z from 'zod'
import type { Kind } from '../cluster/objects.ts'

const texts = z.array(z.string()).nullish()
const listOf = (shape: z.core.$ZodLooseShape) => z.array(z.looseObject(shape))

const destination = z.looseObject({ host: z.string(), subset: z.string().optional() })
const routes = listOf({
  match: z.array(z.looseObject({})).optional(),
  route: listOf({ destination, weight: z.number().optional() }).optional(),
  mirror: destination.optional(),
  mirrors: listOf({ destination }).optional(),
}).nullish()

const specs: Partial<Record<Kind, z.ZodType>> = {
  VirtualService: z.looseObject({ hosts: texts, gateways: texts, http: routes, tcp: routes, tls: routes }),
  DestinationRule: z.looseObject({ host: z.string(), subsets: listOf({ name: z.string() }).nullish() }),
  HTTPRoute: z.looseObject({
    hostnames: z.array(z.string()).optional(),
    parentRefs: listOf({ name: z.string() }).optional(),
  }),
  Telemetry: z.looseObject({ tracing: listOf({ providers: z.array(z.unknown()).optional() }).optional() }).optional(),
}
const anyMap = z.looseObject({}).nullish()
const labels = z.record(z.string(), z.string()).nullish()

/** Where a manifest of the kind is not as it must be, and what is expected there. */
export function schemaFaults(kind: Kind, object: object): { path: (string | number)[]; says: string } | undefined {
  const shape = z.looseObject({ metadata: z.looseObject({ labels, annotations: labels }), spec: specs[kind] ?? anyMap })
  const issue = shape.safeParse(object).error?.issues[0]
  if (!issue) return undefined
  const path = issue.path as (string | number)[]
  const written = path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`)).join('')
  return { path, says: `${written}: ${expectation(issue)}` }
}

const words: Record<string, string> = {
  object: 'a map of keys',
  record: 'a map of keys',
  array: 'a list',
  string: 'a text (in quotes where YAML reads something else)',
}

function expectation(issue: z.core.$ZodIssue): string {
  return issue.code === 'invalid_type' ? `expected ${words[issue.expected] ?? `a ${issue.expected}`}` : issue.message
}
