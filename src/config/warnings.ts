// Finds settings that are allowed but probably not intended: one sentence each, beginning with the key.
import type { Config } from './schema.ts'
import { authorizationWarnings, tokenWarnings } from './warnings/access.ts'
import { serviceWarnings } from './warnings/services.ts'

/** @param now in milliseconds since 1970, to tell whether an injected fault has ended */
export function warningsOf({ services = {}, authorization, jwt = {}, egress }: Config, now: number): string[] {
  const isEmptyEgress = egress && !egress.mode && Object.keys(egress.hosts).length === 0
  return [
    ...Object.entries(services).flatMap(([name, service]) =>
      serviceWarnings(service, now).map(({ key, text }) => `services.${name}.${key}: ${text}`),
    ),
    ...authorizationWarnings(authorization),
    ...tokenWarnings(jwt),
    ...(isEmptyEgress ? ['egress: the section has no effect; set `mode` or `hosts`'] : []),
  ]
}
