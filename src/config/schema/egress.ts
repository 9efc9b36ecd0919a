// The sections `egress` and `scope`: what pods may call outside the mesh, and what their sidecars know.
import * as z from 'zod'
import { stringsMatching } from '../values/lists.ts'
import { port } from '../values/numbers.ts'
import { publicValue } from '../values/public-value.ts'
import { oneOf } from '../values/strings.ts'

const externalHost = z.string().regex(/^(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, {
  error: 'expected a full DNS name such as api.example.com, or *.example.com',
})

export const egress = z.strictObject({
  mode: oneOf('registry-only', 'allow-any')
    .optional()
    .describe('With `registry-only`, pods reach only the services of the mesh and `hosts`.'),
  hosts: z
    .record(
      externalHost,
      z.strictObject({
        port: port.prefault(443).describe('Port of the host.'),
        protocol: oneOf('tls', 'https', 'http', 'tcp')
          .prefault('tls')
          .describe('Protocol of the connection. Use `tls` if the application encrypts by itself.'),
      }),
    )
    .prefault({})
    .describe('Hosts outside the mesh that pods may call: `api.example.com: {}`.'),
})

const scopeHost = /^(\.|\*|~|[a-z0-9][-a-z0-9]*)\/[*A-Za-z0-9][-.*A-Za-z0-9]*$/

export const scope = z.strictObject({
  hosts: stringsMatching('namespace/host pairs such as ./*, istio-system/*', scopeHost, publicValue).describe(
    'Services that the sidecars of the namespace know, as `namespace/host`. `.` is their own namespace.',
  ),
})
