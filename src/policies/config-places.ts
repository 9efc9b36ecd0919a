// Where the config asks for a compiled object, for messages about two sources. Pure.
import type { KubeObject } from '../cluster/objects.ts'
import { canariesOf, defaultDenyName, requiredName } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { gatewayOf } from './compile/names.ts'
import { fromConfig } from './merge-services.ts'

/** The key, and the file and line or the input: `services.backend in mesh.yaml:4`. */
export function placeInConfig(config: Config, object: KubeObject): string {
  const key = keyOf(config, object)
  const place = key === undefined ? undefined : config.places?.[key]
  return place === undefined ? fromConfig : `${key} in ${place}`
}

function keyOf(config: Config, { kind, metadata: { name } }: KubeObject): string | undefined {
  const { expose = {}, jwt = {}, services = {} } = config
  const exposed = Object.keys(expose).find((each) => name === gatewayOf(each))
  switch (kind) {
    case 'VirtualService':
    case 'DestinationRule':
      if (exposed !== undefined) return `expose.${exposed}`
      return Object.hasOwn(services, name) ? `services.${name}` : canaryKey(config, name)
    case 'Gateway':
    case 'HTTPRoute':
      return `expose.${exposed ?? name}`
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
      return 'telemetry'
    default:
      return undefined
  }
}

function canaryKey(config: Config, name: string): string | undefined {
  const index = canariesOf(config).findIndex(({ service }) => service === name)
  if (index < 0) return undefined
  return config.canary ? 'canary' : `canaries.${index}`
}
