// A request that no sidecar saw, because it went past that of the entry and called no other service: neither metric nor
// span nor log line of it can be expected.
import { grown, reportedBy } from './sidecar-requests.ts'
import type { Application, Finding, SentRequest } from './types.ts'

/** Undefined if a sidecar saw the request, or should have. */
export function unseenRequest(request: SentRequest, app: Application): Finding | undefined {
  const { way, pod, before, after } = request
  if (way !== 'past-sidecar') return undefined
  const past = whyPastSidecar(request, app)
  const counted = grown(before, after, pod)
  if (!counted) return { text: `${past}; the counters of ${pod} could not be read, so its calls are not known` }
  if (reportedBy('source', counted).size > 0) return undefined
  return {
    text:
      `${past}; it called no other service, and no sidecar counted it; set \`observability.proof.service\` or \`path\` to ` +
      'what calls another one',
  }
}

/** Why a request went past the sidecar of the entry. */
export function whyPastSidecar({ noGateway = '' }: SentRequest, { entry: { service } }: Application): string {
  return `${service} refuses plaintext and ${noGateway}, so the request had to go past its sidecar`
}
