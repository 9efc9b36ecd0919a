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

/** How far from a limit users have to be before a good verdict is an error. */
export function multipleOfLimit(description: string) {
  return z
    .number({ error: 'expected a number' })
    .min(1.1, { error: 'expected a number from 1.1' })
    .max(100)
    .prefault(2)
    .describe(description)
}

/** A Kubernetes label value; matchers of PromQL, selectors and patterns contain it as it is. */
export const labelValue = z
  .string({ error: 'expected a label value as a string; quote it in YAML' })
  .regex(/^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/, {
    error: 'expected a label value: up to 63 letters, digits, dashes, underscores and dots',
  })
  .meta(publicValue)

/** The key of a Kubernetes label, with or without the prefix of a domain. */
export const labelKey = z
  .string()
  .regex(/^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/, {
    error: 'expected the key of a label, such as app or app.kubernetes.io/name',
  })

export const podSelector = z
  .record(labelKey, labelValue)
  .refine((pairs) => Object.keys(pairs).length > 0, { error: 'expected at least one label, such as app: backend' })

const servicePort = /^[-a-z0-9]+\/[-a-z0-9]+:(\d{1,5})$/

/** True for `namespace/name:port`. */
export function isServicePort(text: string): boolean {
  const port = Number(servicePort.exec(text)?.[1])
  return port >= 1 && port <= 65_535
}

/** A Service in the cluster. */
export function serviceAddress(example: string) {
  const error = `expected namespace/name:port, such as ${example}`
  return z.string().regex(servicePort, { error, abort: true }).refine(isServicePort, { error }).meta(publicValue)
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
