// Asks the API server, before a run changes anything, whether the account has the rights that it will need.
import type { Cluster } from '../cluster/client.ts'
import { apiVersionOf, discoveryOf, groupOf, type Kind, type KubeObject } from '../cluster/objects.ts'

/** `subresource`: such as `status`. */
export type Right = { verb: string; kind: Kind; subresource?: string; name?: string }

type Review = KubeObject & { spec: object; status?: { allowed: boolean } }

/** The rights that are missing, in words; none if the API server does not tell. */
export async function missingRights(cluster: Cluster, namespace: string, rights: readonly Right[]): Promise<string[]> {
  const answers = await Promise.all(rights.map((right) => isAllowed(cluster, namespace, right)))
  return rights.filter((_, i) => !answers[i]).map(describeRight)
}

async function isAllowed(cluster: Cluster, namespace: string, { kind, ...right }: Right): Promise<boolean> {
  const kindOfReview = 'SelfSubjectAccessReview'
  const review: Review = {
    apiVersion: apiVersionOf(kindOfReview),
    kind: kindOfReview,
    metadata: { name: '' },
    spec: {
      resourceAttributes: { ...right, namespace, group: groupOf(apiVersionOf(kind)), resource: discoveryOf(kind).name },
    },
  }
  const answer = await cluster.create(review).catch(() => undefined)
  return answer?.status?.allowed ?? true
}

function describeRight({ verb, kind, subresource }: Right): string {
  const { name } = discoveryOf(kind)
  return `${verb} ${subresource === undefined ? name : `${name}/${subresource}`}`
}
