// Where the config asks for a compiled object, for messages. Pure.
import type { KubeObject } from '../cluster/objects.ts'
import { canariesOf, canaryKey, defaultDenyName, requiredName } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { gatewayOf } from './compile/names.ts'
import { fromConfig } from './merge/merge-services.ts'

/** The key, and the file and line or the input: `services.backend in mesh.yaml:4`. */
export function placeInConfig(config: Config, object: KubeObject): string {
  const key = configKeyOf(config, object)
  const place = key === undefined ? undefined : config.places?.[key]
  return place === undefined ? fromConfig : `${key} in ${place}`
}

/** The key of the config that compiles to the object: `services.backend`, `mtls`, `canaries.0`. */
export function configKeyOf(config: Config, { kind, metadata: { name } }: KubeObject): string | undefined {
  const { expose = {}, jwt = {}, services = {} } = config
  const exposed = Object.keys(expose).find((each) => name === gatewayOf(each))
  switch (kind) {
    case 'VirtualService':
    case 'DestinationRule':
      if (exposed !== undefined) return `expose.${exposed}`
      return Object.hasOwn(services, name) ? `services.${name}` : keyOfCanary(config, name)
    case 'Gateway':
      return exposed && `expose.${exposed}`
    case 'HTTPRoute':
      return `expose.${name}`
    case 'PeerAuthentication':
      return 'mtls'
    case 'RequestAuthentication':
      return `jwt.${name}`
    case 'AuthorizationPolicy': {
      const token = Object.keys(jwt).find((each) => name === requiredName(each))
      if (token !== undefined) return `jwt.${token}`
      return name === defaultDenyName ? 'authorization' : `authorization.rules.${name}`
    }
    case 'Sidecar':
      return config.scope ? 'scope' : 'egress'
    case 'ServiceEntry':
      return 'egress'
    case 'Telemetry':
      return config.telemetry ? 'telemetry' : 'observability'
    default:
      return undefined
  }
}

function keyOfCanary(config: Config, name: string): string | undefined {
  const index = canariesOf(config).findIndex(({ service }) => service === name)
  return index < 0 ? undefined : canaryKey(config, index)
}
