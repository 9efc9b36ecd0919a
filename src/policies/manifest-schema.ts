// The schema of the fields that merging, weights and subsets read from a manifest. The API server validates the rest.
import * as z from 'zod'
import type { Kind } from '../cluster/objects.ts'

const texts = z.array(z.string()).nullish()
const listOf = (manifestSchema: z.core.$ZodLooseShape) => z.array(z.looseObject(manifestSchema))

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

/** The first field of a manifest that is invalid, and what is expected there. */
export function schemaFaults(kind: Kind, object: object): { path: (string | number)[]; says: string } | undefined {
  const shape = z.looseObject({ metadata: z.looseObject({ labels, annotations: labels }), spec: specs[kind] ?? anyMap })
  const issue = shape.safeParse(object).error?.issues[0]
  if (!issue) return undefined
  const path = issue.path as (string | number)[]
  const written = path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`)).join('')
  return { path, says: `${written}: ${expectation(issue)}` }
}

const typeNames: Record<string, string> = {
  object: 'a map of keys',
  record: 'a map of keys',
  array: 'a list',
  string: 'a text (in quotes where YAML would read another type)',
}

function expectation(issue: z.core.$ZodIssue): string {
  return issue.code === 'invalid_type'
    ? `expected ${typeNames[issue.expected] ?? `a ${issue.expected}`}`
    : issue.message
}
