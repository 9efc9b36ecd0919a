// RequestAuthentications add up: a token that any of them accepts is accepted, and passes the rule that requires a token. Pure.
import { isDeepStrictEqual } from 'node:util'
import { matches } from '../../cluster/labels.ts'
import { systemNamespace, titleOf } from '../../cluster/objects.ts'
import { keyFor, type Sourced } from '../manifests/manifests.ts'

type Policy = Sourced['object']
type Rule = { issuer?: string; jwks?: string; jwksUri?: string; audiences?: string[] }
type Spec = {
  selector?: { matchLabels?: Record<string, string> }
  jwtRules?: Rule[]
  targetRef?: unknown
  targetRefs?: unknown[]
}

/**
 * Another object with the same issuer but other keys or audiences widens what ours accepts, which is a fault. Another
 * issuer may be intended, and is a warning.
 */
export function tokenConflicts(
  ours: readonly Sourced[],
  remaining: readonly Policy[],
): { faults: string[]; warnings: string[] } {
  const others = remaining.filter(({ kind }) => kind === 'RequestAuthentication')
  const pairs = ours
    .filter(({ object }) => object.kind === 'RequestAuthentication')
    .flatMap((own) => others.filter((theirs) => overlap(own.object, theirs)).map((theirs) => ({ own, theirs })))
  const rules = pairs.flatMap(({ own, theirs }) => rulesOf(theirs).map((rule) => ({ own, theirs, rule })))
  const sameIssuer = ({ own, rule }: (typeof rules)[number]) =>
    rulesOf(own.object).filter(({ issuer }) => issuer === rule.issuer)
  const contradicts = (each: (typeof rules)[number]) => sameIssuer(each).some((mine) => !accepts(mine, each.rule))
  const isOther = (each: (typeof rules)[number]) => sameIssuer(each).length === 0
  return {
    faults: rules.filter(contradicts).map(({ own, theirs, rule }) => widened(own, theirs, rule)),
    warnings: rules.filter(isOther).map(({ own, theirs, rule }) => alsoAccepted(own, theirs, rule)),
  }
}

const specOf = ({ spec = {} }: Policy) => spec as Spec
const rulesOf = (object: Policy) => specOf(object).jwtRules ?? []

/**
 * True if both apply to pods of ours: one selector contains the other. One of the mesh with a selector is probably for a
 * gateway.
 */
function overlap(ours: Policy, theirs: Policy): boolean {
  const { targetRef, targetRefs = [] } = specOf(theirs)
  if (targetRef || targetRefs.length > 0) return false
  const labels = (object: Policy) => specOf(object).selector?.matchLabels ?? {}
  const isWider = matches(labels(theirs), labels(ours))
  const { namespace } = theirs.metadata
  if (namespace === ours.metadata.namespace) return isWider || matches(labels(ours), labels(theirs))
  return namespace === systemNamespace && isWider
}

/** True if the rule accepts no token that `mine` does not. */
function accepts(mine: Rule, rule: Rule): boolean {
  const keys = ({ jwks, jwksUri }: Rule) => jwks ?? jwksUri
  return keys(mine) === keys(rule) && isDeepStrictEqual(mine.audiences ?? [], rule.audiences ?? [])
}

function widened(own: Sourced, theirs: Policy, { issuer = '' }: Rule): string {
  return (
    `${keyFor(own)}: the ${titleOf(theirs)} accepts tokens of the issuer ${issuer} with other keys or audiences, and ` +
    `Istio accepts what either it or the ${titleOf(own.object)} accepts; delete it, or make both the same`
  )
}

function alsoAccepted(own: Sourced, theirs: Policy, { issuer = '' }: Rule): string {
  return (
    `${keyFor(own)}: the ${titleOf(theirs)} accepts tokens of the issuer ${issuer} on the same pods, and they pass ` +
    `where the ${titleOf(own.object)} requires a token; delete it if that is not intended`
  )
}
