// The section `edge`: the API gateway in front of the ingress gateway.
import * as z from 'zod'
import { publicValue } from '../values/public-value.ts'
import { boolean, headerValue, plainPath, plainUrl } from '../values/strings.ts'
import { nameOf } from './parts.ts'

const domainName = z
  .string()
  .regex(/^([a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/, {
    error: 'expected a host name such as shop.example.com',
  })
  .meta(publicValue)

const probe = z.strictObject({
  path: plainPath
    .prefault('/')
    .describe('Path of the request below `listenPath`. The application has to answer with a status below 400.'),
  key: headerValue
    .optional()
    .describe('What the request sends as `Authorization`, if Tyk asks for it. Needs access to this API.'),
})

const tyk = z.strictObject({
  enabled: boolean.prefault(true).describe('With `false`, the API definition is removed.'),
  url: plainUrl.describe('Address at which users reach Tyk.'),
  api: plainUrl.optional().describe("Address of Tyk's gateway API. Default: `url`."),
  secret: headerValue.describe("Secret of Tyk's gateway API (`secret` in its configuration)."),
  service: nameOf('a service').optional().describe('Service under `expose` that Tyk leads to. Default: the only one.'),
  target: plainUrl
    .optional()
    .describe(
      'Address of the ingress gateway as Tyk reaches it. With `https`, its host has to be one of the exposed ones, because the ' +
        'gateway chooses the certificate by it. Default, for plain HTTP: the Service of `ingressgateway` in `istio-system`.',
    ),
  listenPath: plainPath.prefault('/').describe('Path at which Tyk listens.'),
  stripListenPath: boolean.prefault(true).describe('Leaves the path out of the request to the application.'),
  domain: domainName
    .optional()
    .describe('Host name at which Tyk listens, which has to be one of the exposed ones. Default: any.'),
  keyless: boolean
    .optional()
    .describe(
      'Whether users need no key. Default: Tyk asks for a key at first, and later whatever is set there stays.',
    ),
  probe: probe.prefault({}).describe('The request that shows that users reach the application through Tyk.'),
})

export const edge = z.strictObject({
  tyk: tyk.describe(
    'API definition in Tyk that leads to the ingress gateway. Keys, limits and policies stay with Tyk.',
  ),
})
