// Routes whose traffic moves with the weight although no check judges it. Pure.
import { titleOf } from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { splitsIn, type Routed, type Split } from '../../policies/routes.ts'

/** One sentence for each route of connections, if the plan judges requests alone. */
export function unjudgedRoutes(objects: readonly Routed[], split: Split, plan: CanaryConfig): string[] {
  if (judgesMoreThanRequests(plan)) return []
  return objects.flatMap((object) =>
    splitsIn(object, split)
      .filter(({ section }) => section === 'tcp' || section === 'tls')
      .map(
        ({ section, index }) =>
          `the route ${section}[${index}] of the ${titleOf(object)} moves connections with the weight, and no check judges ` +
          'them, because the sidecars count requests; limit the promotion to named http routes by `routes`, or judge them by ' +
          '`checks.queries` or `checks.commands`',
      ),
  )
}

/** Without `minRequests`, the user decides to promote without a count. */
function judgesMoreThanRequests({ checks, metrics, webhooks }: CanaryConfig): boolean {
  return (
    checks.minRequests === 0 ||
    !metrics.requests.endsWith('requests_total') ||
    [checks.queries, checks.commands].some((each) => Object.keys(each).length > 0) ||
    Object.values(webhooks).some(({ type }) => type === 'rollout')
  )
}
