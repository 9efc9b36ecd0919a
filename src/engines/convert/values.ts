// Values that both engines write in their own way.
import { ConfigError } from '../../config/error.ts'
import { dnsName } from '../../config/values/kubernetes.ts'
import { parseDuration } from '../../config/values/durations.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Field } from './ledger.ts'

/** A duration as people write it, which Go reads too: `1m30s`, `1500ms`. */
export function durationText(ms: number): string {
  if (ms % 1000 !== 0) return `${ms}ms`
  const parts: [number, string][] = [
    [Math.floor(ms / 3_600_000), 'h'],
    [Math.floor(ms / 60_000) % 60, 'm'],
    [Math.floor(ms / 1000) % 60, 's'],
  ]
  return parts.flatMap(([amount, unit]) => (amount === 0 ? [] : [`${amount}${unit}`])).join('')
}

/** Milliseconds of a duration with its unit; undefined if the field is missing. @throws ConfigError for anything else */
export function durationOf(field: Field): number | undefined {
  if (!field.given) return undefined
  const ms = parseDuration(field.value)
  if (ms === undefined || ms <= 0) field.fail('a duration with its unit, such as 30s or 1m30s')
  return ms
}

/** A number that may be missing. @throws ConfigError for one outside of the range, or with a fraction */
export function wholeNumberOf(field: Field, least: number, most: number): number | undefined {
  const value = field.number()
  if (value === undefined) return undefined
  if (!Number.isInteger(value) || value < least || value > most) field.fail(`a whole number from ${least} to ${most}`)
  return value
}

/** Gives each name of a source a valid name of its own. */
export class Names {
  private readonly used = new Set<string>()

  /** The name, or the nearest valid one that is free. */
  free(name: string): string {
    const cut = name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '')
      .slice(0, 50)
      .replace(/-$/, '')
    const base = dnsName.test(name) ? name : cut === '' ? 'check' : cut
    const names = [base, ...Array.from({ length: 100 }, (_, i) => `${base}-${i + 2}`)]
    const found = names.find((each) => !this.used.has(each))!
    this.used.add(found)
    return found
  }
}

/** The first text that a query of ours would have replaced. Nothing escapes it. */
export function variableIn(text: string): string | undefined {
  return /\$(?:namespace|service|stable|canary|weight|interval)\b/.exec(text)?.[0]
}

const inCluster = /^http:\/\/([a-z0-9-]+)\.([a-z0-9-]+)(?:\.svc(?:\.cluster\.local)?)?(?::(\d+))?\/?$/

export type PrometheusPlace = { service: string } | { address: string }

/** A Service of the cluster, which a runner reaches through the API server, or any other address. */
export function prometheusPlace(address: string): PrometheusPlace {
  const [, name, namespace, port = '80'] = inCluster.exec(address) ?? []
  return name === undefined ? { address } : { service: `${namespace!}/${name}:${port}` }
}

/** The address at which a controller in the cluster reaches Prometheus. */
export function prometheusAddress({ address, service }: NonNullable<CanaryConfig['prometheus']>): string | undefined {
  if (service === undefined) return address
  const [namespace = '', rest = ''] = service.split('/')
  const [name = '', port = ''] = rest.split(':')
  return `http://${name}.${namespace}:${port}`
}

/** A fraction of 1 in per cent, without the error of binary fractions. */
export function percentOf(fraction: number): number {
  return Number((fraction * 100).toPrecision(12))
}

/** The one namespace of the objects. @throws ConfigError if there are several */
export function namespaceOf(roots: readonly { namespace: string | undefined; field: Field }[]): string | undefined {
  const [first, ...others] = roots.filter(({ namespace }) => namespace !== undefined)
  const other = others.find(({ namespace }) => namespace !== first!.namespace)
  if (other) {
    const { kind, name, place } = other.field.object
    throw new ConfigError(
      `${place(['metadata'], 'namespace')}: ${kind} ${name}: metadata.namespace: ${other.namespace!} is not the namespace ` +
        `${first!.namespace!} of the objects before, and a mesh.yaml is for one namespace; convert them one by one`,
    )
  }
  return first?.namespace
}
