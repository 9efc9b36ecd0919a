import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../../src/config/error.ts'
import { kubernetesOf, nodeImage } from '../../../src/kind/images.ts'

const supported = { oldest: '1.32', newest: '1.36' }
const version = (image: string | undefined) => image && kubernetesOf(image)

describe('the node image', () => {
  test.each([
    ['0.33.0', undefined, '1.36.4'],
    ['0.32.0', undefined, '1.36.1'],
    ['0.31.0', undefined, '1.35.0'],
    ['0.33.0', '1.37', '1.37.0'],
    ['0.33.0', '1.35', '1.35.8'],
    ['0.33.0', '1.33', '1.33.12'],
    ['0.33.0', '1.32', '1.32.11'],
    ['0.32.0', '1.36', '1.36.1'],
    ['0.33.0', '1.35.5', '1.35.5'],
    ['0.34.1', '1.36', '1.36.4'],
  ])('of kind %s with Kubernetes %s is %s, pinned by digest', (kind, kubernetes, wanted) => {
    const image = nodeImage(kind, kubernetes, supported)
    expect([version(image), /@sha256:[0-9a-f]{64}$/.test(image ?? '')]).toEqual([wanted, true])
  })

  test('has only a tag for an exact version that is not in the table', () => {
    expect(nodeImage('0.33.0', '1.36.9', supported)).toBe('kindest/node:v1.36.9')
  })

  test('is left to kind without Istio and without a version', () => {
    expect(nodeImage('0.33.0', undefined, undefined)).toBeUndefined()
  })

  test.each([
    [
      '0.33.0',
      '1.29',
      supported,
      /^cluster\.kubernetes: kind 0\.33\.0 has no known node image of Kubernetes 1\.29, only of 1\.37, 1\.36, 1\.35, 1\.34, 1\.33, 1\.32, 1\.31;/,
    ],
    [
      '0.30.0',
      undefined,
      { oldest: '1.37', newest: '1.38' },
      /^cluster\.version: kind 0\.30\.0 has no known node image with a Kubernetes that this Istio supports \(1\.37 to 1\.38\)/,
    ],
  ])(
    'of kind %s with Kubernetes %s does not exist, and the error names the existing ones',
    (kind, kubernetes, range, words) => {
      expect(() => nodeImage(kind, kubernetes, range)).toThrow(ConfigError)
      expect(() => nodeImage(kind, kubernetes, range)).toThrow(words)
    },
  )

  test.each([
    ['kindest/node:v1.36.4@sha256:00', '1.36.4'],
    ['registry.example:5000/kindest/node:v1.35.0', '1.35.0'],
    ['kindest/node:latest', undefined],
  ])('with the tag of %s runs Kubernetes %s', (image, wanted) => expect(kubernetesOf(image)).toBe(wanted))
})
