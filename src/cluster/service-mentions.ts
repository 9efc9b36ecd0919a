// Whether containers are told a service's address, in their environment or arguments. Pure.
import type { Container } from './objects.ts'

/**
 * True if an environment variable or an argument contains the service's address, or its bare name as a host. The bare
 * name counts only for containers of the service's own namespace: `fromOutside` is false for them.
 */
export function mentionsService(
  containers: readonly Container[],
  service: string,
  namespace: string,
  fromOutside = false,
): boolean {
  const domain = `\\.${namespace}(\\.svc[a-z0-9.-]*)?`
  const host = `${service}${fromOutside ? domain : `(${domain})?`}`
  // A slash alone does not begin an address, because it may be part of a path.
  const address = new RegExp(`(//|@)${host}(:\\d|/|$)|(^|[,=\\s])${host}(:\\d|$)`)
  const isHostVariable = (name: string) => /HOST|ADDR|URL|SERVER|ENDPOINT/i.test(name)
  return containers.some(
    ({ env = [], command = [], args = [] }) =>
      env.some(({ name, value = '' }) => address.test(value) && (value !== service || isHostVariable(name))) ||
      [...command, ...args].some((text) => text !== service && address.test(text)),
  )
}
