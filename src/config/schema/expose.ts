// The section `expose`: services that are reached from outside, through a gateway.
import * as z from 'zod'
import { objectName } from '../values/kubernetes.ts'
import { stringsMatching } from '../values/lists.ts'
import { port } from '../values/numbers.ts'
import { publicValue } from '../values/public-value.ts'
import { boolean, oneOf } from '../values/strings.ts'

const hostName = /^(\*|(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$/

export const exposure = z.strictObject({
  port: port
    .optional()
    .describe('Port of the Service. Default: the port under `services`, otherwise the only port of the Service.'),
  hosts: stringsMatching('host names such as shop.example.com, *.example.com or *', hostName, publicValue)
    .prefault(['*'])
    .describe('Host names of the service.'),
  tls: z
    .strictObject({
      secret: objectName.describe('Secret with `tls.crt` and `tls.key`, in the namespace of the gateway.'),
    })
    .optional()
    .describe('HTTPS on port 443.'),
  httpsRedirect: boolean
    .optional()
    .describe('Redirects plain HTTP to HTTPS. With `tls`, port 80 is open only for this. Default: `true`.'),
  gateway: z
    .string()
    .regex(/^([-a-z0-9]+\/)?[-a-z0-9]+$/, { error: 'expected a name such as ingressgateway, or namespace/name' })
    .meta(publicValue)
    .prefault('ingressgateway')
    .describe(
      'Label `istio` of the gateway pods. With `gateway-api`: the Gateway object, as `name` or `namespace/name`.',
    ),
  api: oneOf('istio', 'gateway-api')
    .prefault('istio')
    .describe('With `gateway-api`, an HTTPRoute for an existing Gateway is written.'),
})
