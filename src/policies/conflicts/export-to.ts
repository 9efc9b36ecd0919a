// Namespaces to which the objects of one host are visible (`exportTo`). A caller that sees the routes but not the
// subsets that they name gets a 503 for every request, so both have to be visible to the same namespaces. Pure.
import { titleOf, type DestinationRule, type KubeObject, type VirtualService } from '../../cluster/objects.ts'
import { canariesOf, canaryKey } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { hostOf } from '../compile/names.ts'
import type { Sourced } from '../manifests/manifests.ts'
import { meshHosts } from '../merge/merge-hosts.ts'
import { splitOf, splitsIn, type Routed, type Split } from '../routes.ts'
import { usesSubset } from '../subsets.ts'

type Policy = Sourced['object']

/**
 * The compiled objects with the `exportTo` of the user's objects for the same host: a rule takes it from the user's
 * rule, a route from the user's route, and each from the other kind if there is none of its own. `users`: manifests,
 * and objects in the cluster that mesh-canary does not manage.
 */
export function withInheritedExports(compiled: readonly Sourced[], users: readonly KubeObject[]): Sourced[] {
  return compiled.map((sourced) => {
    const { object } = sourced
    const exportTo = inheritedExport(object, users)
    return exportTo ? { ...sourced, object: { ...object, spec: { ...object.spec, exportTo } } } : sourced
  })
}

function inheritedExport(object: Policy, users: readonly Policy[]): string[] | undefined {
  const hosts = meshHosts(object)
  const related = users.filter(
    (each) =>
      each.metadata.namespace === object.metadata.namespace && meshHosts(each).some((host) => hosts.includes(host)),
  )
  const own = related.filter(({ kind }) => kind === object.kind)
  // A user's rule without `exportTo` is for all callers, whatever the routes are for.
  if (object.kind === 'DestinationRule' && own.length > 0) return firstExport(own)
  return firstExport(own) ?? firstExport(related)
}

function firstExport(objects: readonly Policy[]): string[] | undefined {
  return objects.map(({ spec }) => spec?.['exportTo'] as string[] | undefined).find((each) => each && each.length > 0)
}

/**
 * One sentence for each route that more namespaces see than the subsets that it names, and for each calling namespace
 * of a canary (`clients`) that does not see the split. `objects`: all that the run writes.
 */
export function exportFaults(config: Config, objects: readonly KubeObject[]): string[] {
  const routes = objects.filter((each): each is VirtualService => each.kind === 'VirtualService')
  const rules = objects.filter((each): each is DestinationRule => each.kind === 'DestinationRule')
  const hiddenSplits = canariesOf(config).flatMap((plan, i) =>
    hiddenSplit(routes, splitOf(config, plan), plan.clients).map(
      (fault) => `${canaryKey(config, i)}.clients: ${fault}`,
    ),
  )
  return [...hiddenSubsets(routes, rules), ...hiddenSplits]
}

function hiddenSubsets(routes: VirtualService[], rules: DestinationRule[]): string[] {
  return routes.flatMap((route) =>
    rules
      .filter((rule) => isNarrower(rule, route) && ownSubset(rule, rules, route) !== undefined)
      .map(
        (rule) =>
          `policies: the ${titleOf(route)} is visible to ${visibility(route)} and names the subset ` +
          `${ownSubset(rule, rules, route)!}, but the ${titleOf(rule)}, which defines it, only to ${visibility(rule)}: all ` +
          'other callers would get a 503; give both the same `exportTo`',
      ),
  )
}

/** A subset that the route names and that no other rule for the host defines. */
function ownSubset(rule: DestinationRule, rules: DestinationRule[], route: VirtualService): string | undefined {
  const others = rules.filter((each) => each !== rule && meshHosts(each)[0] === meshHosts(rule)[0])
  return rule.spec.subsets?.find(
    ({ name }) =>
      usesSubset(route, rule, name) && !others.some(({ spec }) => spec.subsets?.some((each) => each.name === name)),
  )?.name
}

/**
 * One sentence for the calling namespaces of a canary that see none of the routes that split its traffic in the mesh.
 */
export function hiddenSplit(routes: readonly Routed[], split: Split, clients: readonly string[] = []): string[] {
  const { service, namespace } = split
  const splitting = routes.filter(
    (each) => meshHosts(each).includes(hostOf(service, namespace)) && splitsIn(each, split).length > 0,
  )
  const [first] = splitting
  const blind = clients.filter((client) => !splitting.some((each) => isVisibleTo(each, client))).join(', ')
  if (!first || blind === '') return []
  return [
    `the pods of ${blind} do not see the ${titleOf(first)}, which is visible to ${visibility(first)} only ` +
      '(`exportTo`), so their requests go to both versions whatever the weights are; ' +
      `add ${blind} to \`exportTo\` of the DestinationRule and the VirtualService of ${service}, or remove it from ` +
      '`clients`',
  ]
}

export function isVisibleTo(object: Policy, namespace: string): boolean {
  const places = exportsOf(object)
  return places.includes('*') || places.includes(namespace)
}

/** The namespaces that see the object by its `exportTo`: `*` for all, else their names. */
export function exportsOf({ metadata: { namespace = '' }, spec = {} }: Policy): string[] {
  const exportTo = (spec['exportTo'] as string[] | undefined) ?? []
  if (exportTo.length === 0) return ['*']
  return exportTo.map((place) => (place === '.' ? namespace : place))
}

/** A route that states no `exportTo` of its own is left alone: perhaps nobody outside its namespace calls the host. */
function isNarrower(rule: DestinationRule, route: VirtualService): boolean {
  const [ofRule, ofRoute] = [exportsOf(rule), exportsOf(route)]
  const isStated = meshHosts(route).length > 0 && route.spec['exportTo'] !== undefined
  return isStated && !ofRule.includes('*') && ofRoute.some((place) => !ofRule.includes(place))
}

function visibility(object: KubeObject): string {
  const places = exportsOf(object)
  return places.includes('*') ? 'all namespaces' : places.join(', ')
}
