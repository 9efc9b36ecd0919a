// Parts that several sections of the schema share.
import * as z from 'zod'
import { dnsName, dnsNameForm } from '../values/kubernetes.ts'
import { percentage } from '../values/numbers.ts'
import { publicValue } from '../values/public-value.ts'

/** A Kubernetes name; `owner` says in the error message whose name is expected, such as `a service`. */
export function nameOf(owner: string) {
  return z
    .string()
    .regex(dnsName, { error: `expected the name of ${owner}: ${dnsNameForm}` })
    .meta(publicValue)
}

export function shareOfRequests(description: string) {
  return percentage('above 0%').prefault('100%').describe(description)
}

export const labelValue = z.string({ error: 'expected a label value as a string; quote it in YAML' }).meta(publicValue)

export const podLabels = z
  .record(z.string(), labelValue)
  .refine((pairs) => Object.keys(pairs).length > 0, { error: 'expected at least one label, such as app: backend' })

/** A Service in the cluster. */
export function serviceAddress(example: string) {
  return z
    .string()
    .regex(/^[-a-z0-9]+\/[-a-z0-9]+:\d+$/, { error: `expected namespace/name:port, such as ${example}` })
    .meta(publicValue)
}

export const pullPolicy = z.enum(['IfNotPresent', 'Always', 'Never'], {
  error: 'expected one of IfNotPresent, Always, Never',
})

/** True if exactly one key of the section has a value. */
export function hasExactlyOne(section: object): boolean {
  return countOfValues(section) === 1
}

export function hasAtMostOne(section: object): boolean {
  return countOfValues(section) <= 1
}

export function countOfValues(section: object): number {
  return Object.values(section).filter((value) => value !== undefined).length
}
