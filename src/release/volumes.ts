// Finds volumes that pods of two Deployments cannot share.
import { lacksRights } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import type { KubeObject } from '../cluster/objects.ts'
import type { Template } from './deployment.ts'

type Claim = KubeObject & { spec?: { accessModes?: string[] } }
type Volume = { name: string; persistentVolumeClaim?: { claimName: string } }

/** Why the canary could not start beside stable; undefined if it can. */
export async function unsharedClaim(
  cluster: Cluster,
  namespace: string,
  { spec }: Template,
): Promise<string | undefined> {
  const { volumes = [] } = spec as Template['spec'] & { volumes?: Volume[] }
  for (const { persistentVolumeClaim: claim } of volumes) {
    if (!claim) continue
    const found = await readClaim(cluster, namespace, claim.claimName)
    if (typeof found === 'string') return found
    const modes = found?.spec?.accessModes ?? []
    if (!found || modes.some((mode) => mode === 'ReadWriteMany' || mode === 'ReadOnlyMany')) continue
    return (
      `its pods mount the PersistentVolumeClaim ${claim.claimName}, which is ${modes.join(', ')}: the pods of two ` +
      'Deployments cannot share it; use a claim with ReadWriteMany or ReadOnlyMany, or keep the state elsewhere'
    )
  }
  return undefined
}

/** A sentence if the account may not read it. */
async function readClaim(cluster: Cluster, namespace: string, name: string): Promise<Claim | string | undefined> {
  return cluster.get<Claim>('PersistentVolumeClaim', namespace, name).catch((error: unknown) => {
    if (!lacksRights(error)) throw error
    return (
      `its pods mount the PersistentVolumeClaim ${name}, and the run may not read whether two Deployments can share it ` +
      `(${error.message}); give it the rights of deploy/rbac/deliver.yaml`
    )
  })
}
