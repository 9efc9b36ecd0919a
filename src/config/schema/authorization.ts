// The section `authorization`: who may call what.
import * as z from 'zod'
import { ports, stringsMatching } from '../values/lists.ts'
import { publicValue } from '../values/public-value.ts'
import { boolean, httpMethods, oneOf } from '../values/strings.ts'
import { nameOf, podSelector } from './parts.ts'

const principal = /^(\*|[^/\s]+\/ns\/[^/\s]+\/sa\/[^/\s]+|\*\/?[^\s*]+|[^\s*]+\*)$/

const rule = z.strictObject({
  action: oneOf('allow', 'deny')
    .prefault('allow')
    .describe(
      'What happens to matching requests. ' +
        'Once a workload has an `allow` rule, it refuses all requests that no such rule allows.',
    ),
  to: podSelector.optional().describe('Labels of the called pods. Default: every pod of the namespace.'),
  principals: stringsMatching(
    'identities such as cluster.local/ns/shop/sa/frontend (without spiffe://), with an optional * at one end',
    principal,
    publicValue,
  )
    .optional()
    .describe('Service accounts of the callers, as `cluster.local/ns/<namespace>/sa/<name>`.'),
  namespaces: stringsMatching(
    'names of namespaces, with an optional * at one end',
    /^(\*?[-a-z0-9]+|[-a-z0-9]+\*|\*)$/,
    publicValue,
  )
    .optional()
    .describe('Namespaces of the callers.'),
  methods: httpMethods.optional().describe('HTTP methods.'),
  paths: stringsMatching('paths that begin with / or *, such as /api/*', /^[/*]\S*$/, publicValue)
    .optional()
    .describe('Paths, with an optional `*` at one end.'),
  ports: ports.optional().describe('Ports of the pods.'),
})

export const authorization = z.strictObject({
  defaultDeny: boolean.prefault(false).describe('Refuses all requests in the namespace that no rule allows.'),
  rules: z
    .record(nameOf('a rule'), rule)
    .prefault({})
    .describe('Rules by name. `deny` rules apply before `allow` rules.'),
})
