// Asks the API server, before a run changes anything, whether the account has the rights that it will need.
import type { Cluster } from '../cluster/client.ts'
import { apiVersionOf, discoveryOf, groupOf, type Kind } from '../cluster/objects.ts'

/** `subresource`: such as `status`. */
export type Right = { verb: string; kind: Kind; subresource?: string; name?: string }

/** The rights that are missing, in words; none if the API server does not tell. */
export async function missingRights(cluster: Cluster, namespace: string, rights: readonly Right[]): Promise<string[]> {
  const answers = await Promise.all(rights.map((right) => isAllowed(cluster, namespace, right)))
  return rights.filter((_, i) => !answers[i]).map(describeRight)
}

function isAllowed(cluster: Cluster, namespace: string, { kind, ...right }: Right): Promise<boolean> {
  const [group, resource] = [groupOf(apiVersionOf(kind)), discoveryOf(kind).name]
  return cluster.isAllowed({ ...right, namespace, group, resource }).catch(() => true)
}

function describeRight({ verb, kind, subresource }: Right): string {
  const { name } = discoveryOf(kind)
  return `${verb} ${subresource === undefined ? name : `${name}/${subresource}`}`
}
