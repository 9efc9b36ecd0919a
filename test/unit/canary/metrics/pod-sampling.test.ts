import { expect, test } from 'vitest'
import { createPodSampler } from '../../../../src/canary/metrics/pod-sampling.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { pod } from '../../fixtures.ts'

const client = (name: string) => pod({ metadata: { name, uid: name } })
const [first, second, third] = ['first', 'second', 'third'].map(client) as [Pod, Pod, Pod]

test.each<['skip' | 'skipIdle', string[]]>([
  ['skip', ['first']],
  ['skipIdle', []],
])('a client that rests because of %s and makes room for another is dropped: %j', (rest, dropped) => {
  const sampler = createPodSampler(
    2,
    () => 'client',
    () => undefined,
  )
  const names = () => sampler.choose([first, second, third]).map(({ metadata }) => metadata.name)
  expect(names()).toEqual(['first', 'second'])
  sampler[rest]([first])
  expect([names(), sampler.dropped()]).toEqual([['second', 'third'], dropped])
  expect([names(), sampler.dropped()]).toEqual([['second', 'third'], []])
})
