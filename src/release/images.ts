// The pod template with the images of a release. Pure.
import type { Container } from '../cluster/objects.ts'
import type { CanaryConfig } from '../config/schema.ts'
import { currentImage } from '../config/values/images.ts'
import type { Template } from './deployment.ts'
import { nearest } from '../config/nearest.ts'
import { NotReleasable } from './workload.ts'

/** @throws NotReleasable if it is not clear which container gets the image. */
export function withImages(template: Template, { image, images }: CanaryConfig, title: string): Template {
  if (image === currentImage) return template
  const { spec } = template
  const all = [...spec.containers, ...(spec.initContainers ?? [])]
  const chosen = images ?? withSameImage(all, containerFor(spec.containers, image!, title), image!)
  const unknown = Object.keys(chosen).find((name) => !all.some((each) => each.name === name))
  if (unknown !== undefined) {
    const names = all.map(({ name }) => name)
    throw new NotReleasable(
      `the ${title} has no container ${unknown}${nearest(unknown, names)} (it has ${names.join(', ')})`,
    )
  }
  const withImage = (container: Container) => ({ ...container, image: chosen[container.name] ?? container.image! })
  return {
    ...template,
    spec: {
      ...spec,
      containers: spec.containers.map(withImage),
      ...(spec.initContainers ? { initContainers: spec.initContainers.map(withImage) } : {}),
    },
  }
}

/** An init container that runs the same image, such as for migrations, is of the same release. */
function withSameImage(all: readonly Container[], name: string, image: string): Record<string, string> {
  const before = all.find((each) => each.name === name)?.image
  return Object.fromEntries(all.filter((each) => each.image === before).map((each) => [each.name, image]))
}

/** The only container, or the one that has an image of the same repository now. */
function containerFor(containers: readonly Container[], image: string, title: string): string {
  const same = containers.filter((each) => repositoryOf(each.image ?? '') === repositoryOf(image))
  const [found, ...others] = containers.length === 1 ? containers : same
  if (found && others.length === 0) return found.name
  throw new NotReleasable(
    `the ${title} has the containers ${containers.map(({ name }) => name).join(', ')}, and ` +
      `${same.length === 0 ? 'none' : 'more than one'} of them runs an image of ${repositoryOf(image)}; ` +
      'write `images: { <container>: <image> }` instead of `image`',
  )
}

export function repositoryOf(image: string): string {
  return image.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
}
