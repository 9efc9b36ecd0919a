// The section `mtls`: mutual TLS of the namespace, and exceptions.
import * as z from 'zod'
import { withShortForm } from '../values/short-form.ts'
import { oneOf } from '../values/strings.ts'
import { nameOf, podSelector } from './parts.ts'

const portKey = z.string().refine((port) => /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65535, {
  error: 'expected a port from 1 to 65535',
})

const mode = oneOf('strict', 'permissive', 'disable')

const workload = z.strictObject({
  selector: podSelector.describe('Labels of the pods.'),
  mode: mode.optional().describe('Mode of these pods. Default: the mode of the namespace.'),
  ports: z.record(portKey, mode).prefault({}).describe('Modes of single ports: `3306: disable`.'),
})

const section = z.strictObject({
  mode: mode.optional().describe('Mode of the namespace. `mtls: strict` is short for `mtls: { mode: strict }`.'),
  plaintextCallers: oneOf('fail', 'cut-off')
    .prefault('fail')
    .describe(
      'What happens before `strict` if the sidecars of the servers see callers that send plaintext. `fail` changes no ' +
        'policy and names them; `cut-off` accepts that their calls fail.',
    ),
  workloads: z.record(nameOf('a workload'), workload).prefault({}).describe('Exceptions by name.'),
})

export const mtls = withShortForm(section, mode, (chosen) => ({ ...section.parse({}), mode: chosen }))
