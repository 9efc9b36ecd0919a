// Asks the API server, before a run changes anything, whether the account has the rights that it will need.
import { distinct } from '../runtime/distinct.ts'
import { messageOf } from '../runtime/errors.ts'
import { isForbidden } from './api-error.ts'
import type { Cluster, Right } from './client.ts'
import { apiVersionOf, discoveryOf, groupOf, type Kind } from './objects.ts'

export function rightOn(kind: Kind, verb: string, more: Pick<Right, 'subresource' | 'name'> = {}): Right {
  return { group: groupOf(apiVersionOf(kind)), resource: discoveryOf(kind).name, verb, ...more }
}

export function rightsOn(kind: Kind, ...verbs: string[]): Right[] {
  return verbs.map((verb) => rightOn(kind, verb))
}

/** The rights that are missing, in words such as `get pods/proxy`. @throws Error if the API server does not tell */
export async function missingRights(cluster: Cluster, namespace: string, rights: readonly Right[]): Promise<string[]> {
  const unique = distinct(rights)
  const allowed = await Promise.all(unique.map((right) => isAllowed(cluster, namespace, right)))
  return unique.filter((_, i) => !allowed[i]).map(describeRight)
}

function isAllowed(cluster: Cluster, namespace: string, right: Right): Promise<boolean> {
  return cluster.isAllowed({ ...right, namespace }).catch((problem: unknown) => {
    const remedy = isForbidden(problem) ? 'bind the ClusterRole system:basic-user to it' : 'run again'
    throw new Error(
      `the API server does not tell whether this account may ${describeRight(right)} in the namespace ${namespace}: ` +
        `${messageOf(problem)}; ${remedy}`,
    )
  })
}

function describeRight({ verb, resource, subresource }: Right): string {
  return `${verb} ${subresource === undefined ? resource : `${resource}/${subresource}`}`
}
