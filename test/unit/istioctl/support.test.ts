import { expect, test } from 'vitest'
import { supportedKubernetes, supportWarnings } from '../../../src/istioctl/support.ts'

test.each([
  ['1.31.0', 'v1.32.0', []],
  ['1.31.4', 'v1.36.9+k3s1', []],
  ['1.30.0-rc.1', 'v1.34.1', []],
  [
    '1.31.0',
    'v1.31.9',
    ['istio.version: 1.31.0 is tested with Kubernetes 1.32 to 1.36, and this cluster runs v1.31.9'],
  ],
  [
    '1.31.0',
    'v1.37.2',
    ['istio.version: 1.31.0 is tested with Kubernetes 1.32 to 1.36, and this cluster runs v1.37.2'],
  ],
  [
    '1.29.4',
    'v1.34.1',
    [
      'istio.version: 1.29.4 no longer gets fixes: support for Istio 1.29 ended in October 2026; move to a supported version (1.30 or 1.31)',
    ],
  ],
  [
    '1.28.0',
    'v1.34.1',
    [
      'istio.version: 1.28.0 no longer gets fixes: support for Istio 1.28 ended before October 2026; move to a supported version (1.30 or 1.31)',
    ],
  ],
  [
    '1.23.2',
    'v1.37.2',
    [
      expect.stringContaining('ended before October 2026'),
      expect.stringContaining('tested with Kubernetes 1.27 to 1.30'),
    ],
  ],
  ['1.32.0', 'v1.40.0', []],
  ['2.0.0', 'v1.40.0', []],
])('support warns about the versions out of support for Istio %s on Kubernetes %s', (istio, server, warnings) => {
  expect(supportWarnings(istio, server)).toEqual(warnings)
})

test.each(['1.31.7', '1.31', '1.31.x', '>=1.30 <1.32', 'latest', '1.31.0-rc.1'])(
  'the Kubernetes range of Istio %s is known',
  (version) => {
    expect(supportedKubernetes(version)).toEqual({ oldest: '1.32', newest: '1.36' })
  },
)

test('the Kubernetes range of a version newer than the table is unknown', () => {
  expect(supportedKubernetes('1.40.0')).toBeUndefined()
})
