import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { readPages } from '../../../src/cluster/pages.ts'

type Answer = { names: string[]; version: string; next?: string } | ApiError

/** Gives these answers one after the other, and records the queries. */
function server(...answers: Answer[]) {
  const queries: Record<string, string>[] = []
  const read = <T>(_: string, { query }: { query: Record<string, string> }): Promise<T> => {
    queries.push(query)
    const answer = answers.shift()!
    if (answer instanceof ApiError) return Promise.reject(answer)
    const items = answer.names.map((name) => ({ metadata: { name } }))
    return Promise.resolve({ items, metadata: { resourceVersion: answer.version, continue: answer.next } } as T)
  }
  const list = () => readPages<KubeObject>(read, 'Service', '/api/v1/services', { labelSelector: 'app=shop' })
  return { list, queries }
}

const expired = () => new ApiError(410, 'the provided continue parameter is too old')
const names = ({ items }: { items: KubeObject[] }) => items.map(({ metadata }) => metadata.name)

describe('a list', () => {
  test('has the objects of all pages, with their kind, and the version of the moment', async () => {
    const { list, queries } = server({ names: ['a'], version: '7', next: 'page 2' }, { names: ['b'], version: '7' })
    expect(await list()).toEqual({
      items: ['a', 'b'].map((name) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name } })),
      version: '7',
    })
    expect(queries).toEqual([
      { labelSelector: 'app=shop', limit: '100' },
      { labelSelector: 'app=shop', limit: '100', continue: 'page 2' },
    ])
  })

  test('starts again when its moment has expired, and mixes no objects of two moments', async () => {
    const { list } = server({ names: ['old'], version: '7', next: 'x' }, expired(), { names: ['new'], version: '9' })
    expect(await list()).toMatchObject({ items: [{ metadata: { name: 'new' } }], version: '9' })
  })

  test('that keeps expiring is read in one answer', async () => {
    const first = { names: ['a'], version: '7', next: 'x' }
    const { list, queries } = server(first, expired(), first, expired(), { names: ['a', 'b'], version: '9' })
    expect(names(await list())).toEqual(['a', 'b'])
    expect(queries.at(-1)).toEqual({ labelSelector: 'app=shop' })
  })

  test('fails if the API server refuses it', async () => {
    const { list, queries } = server(new ApiError(403, 'services is forbidden'))
    await expect(list()).rejects.toThrow('services is forbidden')
    expect(queries).toHaveLength(1)
  })

  test('that expires even in one answer fails', async () => {
    await expect(server(expired(), expired(), expired()).list()).rejects.toThrow('too old')
  })
})
