// Sets the images of what an engine rolls out, and nothing else.
import type { Cluster, PatchOperation } from '../cluster/client.ts'
import type { Container, Kind, Workload } from '../cluster/objects.ts'
import type { CanaryConfig } from '../config/schema.ts'
import { currentImage } from '../config/values/images.ts'
import { withImages } from '../release/images.ts'
import type { Live } from './engine.ts'
import { NotReleasable } from '../release/workload.ts'

/** It is not clear which container gets the image. */
export class ImageFault extends Error {
  override name = 'ImageFault'
}

export type ImageChange = {
  kind: Kind & ('Rollout' | 'Deployment')
  name: string
  /** Fails if somebody else changes an image meanwhile. */
  operations: PatchOperation[]
  /** One for each container, such as `app: shop:2`. */
  images: string[]
}

type Template = Workload['spec']['template']

/** Pure. Undefined if the plan sets no image, or only those that are set. @throws ImageFault */
export function changeOf(
  kind: ImageChange['kind'],
  { metadata: { name }, spec: { template } }: { metadata: { name: string }; spec: { template: Template } },
  plan: CanaryConfig,
): ImageChange | undefined {
  if ((plan.image === undefined || plan.image === currentImage) && plan.images === undefined) return undefined
  try {
    const after = withImages(template, plan, `${kind} ${name}`)
    const changes = (['containers', 'initContainers'] as const).flatMap((list) =>
      imageChanges(list, template.spec[list], after.spec[list]),
    )
    if (changes.length === 0) return undefined
    return {
      kind,
      name,
      operations: changes.flatMap(({ path, before, image }): PatchOperation[] => [
        { op: 'test', path, value: before },
        { op: 'replace', path, value: image },
      ]),
      images: changes.map(({ container, image }) => `${container}: ${image}`),
    }
  } catch (problem) {
    if (problem instanceof NotReleasable) throw new ImageFault(problem.message)
    throw problem
  }
}

function imageChanges(list: string, before: readonly Container[] = [], after: readonly Container[] = []) {
  return before.flatMap(({ name, image }, i) => {
    const now = after[i]?.image
    if (now === undefined || now === image) return []
    return [{ container: name, path: `/spec/template/spec/${list}/${i}/image`, before: image, image: now }]
  })
}

/** @returns the objects with the pod template as it is now: if somebody changes that later, it is not what this run set. */
export async function setImages(cluster: Cluster, namespace: string, change: ImageChange, live: Live): Promise<Live> {
  const { kind, name, operations } = change
  const changed = await cluster.patch<Workload>(kind, namespace, name, operations)
  return kind === 'Deployment' ? { ...live, workload: changed } : { ...live, object: changed }
}
