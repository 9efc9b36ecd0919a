// The section `jwt`: the JSON Web Tokens that requests carry.
import * as z from 'zod'
import { ports, strings } from '../values/lists.ts'
import { boolean, nonEmptyString, url } from '../values/strings.ts'
import { hasExactlyOne, podSelector } from './parts.ts'

const keySet = nonEmptyString.refine(isKeySet, { error: 'expected a JSON Web Key Set as JSON text: {"keys":[…]}' })

function isKeySet(text: string): boolean {
  try {
    return Array.isArray((JSON.parse(text) as { keys?: unknown }).keys)
  } catch {
    return false
  }
}

export const jwt = z
  .strictObject({
    issuer: nonEmptyString.describe('Issuer (`iss`) of the tokens.'),
    jwksUri: url.optional().describe('Address of the keys that verify the tokens.'),
    jwks: keySet.optional().describe('The keys that verify the tokens, as JSON text.'),
    audiences: strings.optional().describe('Audiences (`aud`). A token must have one of them.'),
    selector: podSelector
      .optional()
      .describe('Labels of the pods that verify tokens. Default: every pod of the namespace.'),
    required: boolean
      .prefault(true)
      .describe('Refuses requests without a token. Requests with an invalid token are always refused.'),
    ports: ports
      .optional()
      .describe(
        'Ports of the pods that require a token. Set this if the pods have ports that do not speak HTTP: those ports ' +
          'would refuse all requests.',
      ),
  })
  .refine(({ jwksUri, jwks }) => hasExactlyOne({ jwksUri, jwks }), { error: 'expected exactly one of jwksUri, jwks' })
