import { describe, expect, test } from 'vitest'
import { withImages } from '../../../src/release/images.ts'
import { planOf } from '../fixtures.ts'

const template = (...images: [name: string, image: string][]) => ({
  spec: {
    containers: images.map(([name, image]) => ({ name, image })),
    initContainers: [{ name: 'migrate', image: 'registry.test/migrate:1' }],
  },
})
const two = template(['app', 'registry.test:5000/till:1'], ['log', 'registry.test/log@sha256:00'])
const images = (from: ReturnType<typeof template>, release: string) =>
  withImages(from, planOf(release), 'Deployment shop/till').spec.containers.map(({ image }) => image)

describe('the image goes to', () => {
  test('the only container, whatever its image is now', () => {
    expect(images(template(['app', 'old/name:1']), 'image: new/name:2')).toEqual(['new/name:2'])
  })
  test('the init containers that run the same image, which is of the same release', () => {
    const migrating = template(['app', 'registry.test/till:1'])
    migrating.spec.initContainers.push({ name: 'schema', image: 'registry.test/till:1' })
    expect(withImages(migrating, planOf('image: registry.test/till:2'), 'x').spec).toMatchObject({
      initContainers: [{ image: 'registry.test/migrate:1' }, { image: 'registry.test/till:2' }],
    })
  })
  test('the container with an image of the same repository', () => {
    expect(images(two, 'image: registry.test:5000/till:2')).toEqual([
      'registry.test:5000/till:2',
      'registry.test/log@sha256:00',
    ])
  })
  test('the containers that `images` names, also one that runs before the others', () => {
    const found = withImages(two, planOf('images: { migrate: "m:2", log: "l:2" }'), 'Deployment shop/till')
    expect(found.spec).toMatchObject({
      containers: [{ image: 'registry.test:5000/till:1' }, { image: 'l:2' }],
      initContainers: [{ image: 'm:2' }],
    })
  })
})

test('it is an error if it is not clear which container is meant', () => {
  expect(() => images(two, 'image: registry.test/other:2')).toThrow(
    'the Deployment shop/till has the containers app, log, and none of them runs an image of registry.test/other; write `images:',
  )
  expect(() => images(two, 'images: { lag: "l:2" }')).toThrow(
    'the Deployment shop/till has no container lag; did you mean `log`? (it has app, log, migrate)',
  )
})
