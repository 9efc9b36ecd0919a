// The client of Grafana's API, against a stand-in (grafana-stand-in.ts): Grafana itself cannot be had here.
import { describe, expect, test } from 'vitest'
import { createAnnotator, type Followed } from '../../../src/observability/grafana/annotations.ts'
import { grafanaApi } from '../../../src/observability/grafana/api.ts'
import {
  ownedDashboards,
  planDashboards,
  removeDashboard,
  writeDashboard,
} from '../../../src/observability/grafana/dashboards.ts'
import { folderUid } from '../../../src/observability/grafana/folder.ts'
import { dashboardOwner } from '../../../src/observability/grafana/owner.ts'
import { serve } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'
import { grafanaStandIn, type StandIn, token } from './grafana-stand-in.ts'

const apiOf = ({ url }: Pick<StandIn, 'url'>, own = token) => grafanaApi({ url, token: own }, 5_000)
const owner = { tags: ['mesh-canary.io/config=0a1b2c3d'], title: 'acme/shop mesh.yaml' }
const preview = { tags: ['mesh-canary.io/config=99999999'], title: 'acme/shop preview.yaml' }
const actions = async (standIn: StandIn, folder?: string, whose = owner) =>
  (await planDashboards(apiOf(standIn), folder, whose)).changes.map(({ action }) => action)

async function writeAll(standIn: StandIn, folder?: string, whose = owner): Promise<void> {
  const api = apiOf(standIn)
  const { changes } = await planDashboards(api, folder, whose)
  for (const change of changes) await writeDashboard(api, folder, change)
}

/** The UIDs of those that were removed, and the notes on those that stayed. */
async function removeAll(standIn: StandIn, whose = owner): Promise<{ removed: string[]; notes: string[] }> {
  const notes: string[] = []
  const owned = await ownedDashboards(apiOf(standIn), whose, (line) => notes.push(line))
  for (const dashboard of owned) await removeDashboard(apiOf(standIn), dashboard)
  return { removed: owned.map(({ uid }) => uid), notes }
}

describe('dashboards', () => {
  test('are created once, and a second run changes nothing', async () => {
    const standIn = await grafanaStandIn()
    expect(await actions(standIn)).toEqual(['create', 'create'])
    await writeAll(standIn)
    expect([...standIn.dashboards.keys()]).toEqual(['mesh-canary-services', 'mesh-canary-canary'])
    expect(await actions(standIn)).toEqual(['unchanged', 'unchanged'])
  })

  test('that somebody has edited, or moved to another folder, are written again', async () => {
    const standIn = await grafanaStandIn({ folders: [{ uid: 'team', title: 'Team' }] })
    await writeAll(standIn, 'team')
    expect(await actions(standIn, 'team')).toEqual(['unchanged', 'unchanged'])
    standIn.dashboards.get('mesh-canary-services')!.content['title'] = 'Mine'
    standIn.dashboards.get('mesh-canary-canary')!.folderUid = 'other'
    expect(await actions(standIn, 'team')).toEqual(['change', 'change'])
    await writeAll(standIn, 'team')
    expect(await actions(standIn, 'team')).toEqual(['unchanged', 'unchanged'])
  })

  test('stay unchanged if Grafana adds a default', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    standIn.dashboards.get('mesh-canary-services')!.content['preload'] = false
    expect(await actions(standIn)).toEqual(['unchanged', 'unchanged'])
  })

  test('stay unchanged if Grafana saves them under a newer version of its schema', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    standIn.dashboards.get('mesh-canary-services')!.content['schemaVersion'] = 99
    standIn.dashboards.get('mesh-canary-canary')!.content['schemaVersion'] = 1
    expect(await actions(standIn)).toEqual(['unchanged', 'change'])
  })

  test('that Grafana reads from files are not written, because it would refuse that', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    standIn.dashboards.get('mesh-canary-services')!.provisioned = true
    await expect(actions(standIn)).rejects.toThrow(
      'observability.dashboards.grafana: Grafana reads the dashboard Mesh services from a file already',
    )
  })

  test('are removed, and a second removal finds nothing', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    expect(await removeAll(standIn)).toEqual({ removed: ['mesh-canary-services', 'mesh-canary-canary'], notes: [] })
    expect(standIn.dashboards.size).toBe(0)
    expect(await removeAll(standIn)).toEqual({ removed: [], notes: [] })
  })

  test('that somebody writes between the plan and the write are not overwritten', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    const services = standIn.dashboards.get('mesh-canary-services')!
    services.content['title'] = 'Mine'
    const { changes } = await planDashboards(apiOf(standIn), undefined, owner)
    services.version++
    const change = changes.find(({ action }) => action === 'change')!
    await expect(writeDashboard(apiOf(standIn), undefined, change)).rejects.toThrow(
      'HTTP 412: The dashboard has been changed by someone else',
    )
    expect(services.content['title']).toBe('Mine')
  })
})

describe('the owner of a dashboard', () => {
  test('is a tag and, in words, the end of the description', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    const { tags, description } = standIn.dashboards.get('mesh-canary-canary')!.content
    expect(tags).toEqual(['mesh-canary', 'istio', 'mesh-canary.io/config=0a1b2c3d'])
    expect(description).toMatch(/^One service .*\n\nOwner: acme\/shop mesh\.yaml$/s)
  })

  test('decides: another config neither changes nor deletes it, and says whose it is', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    const { changes, others } = await planDashboards(apiOf(standIn), undefined, preview)
    expect(changes).toEqual([])
    expect(others.map(({ differs }) => differs)).toEqual([false, false])
    expect(others[0]!.note).toBe(
      'the Grafana dashboard Mesh services (mesh-canary-services) belongs to another config of mesh-canary ' +
        '(acme/shop mesh.yaml), and stays as it is; it shows this application too. To hand it over, remove its tag ' +
        'mesh-canary.io/config=0a1b2c3d',
    )
    expect(await removeAll(standIn, preview)).toEqual({
      removed: [],
      notes: [
        'the Grafana dashboard Mesh services stays: it belongs to another config of mesh-canary (acme/shop mesh.yaml)',
        'the Grafana dashboard Mesh canary stays: it belongs to another config of mesh-canary (acme/shop mesh.yaml)',
      ],
    })
    expect(standIn.dashboards.size).toBe(2)
  })

  test('is told if his dashboard differs from what another config would write', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    standIn.dashboards.get('mesh-canary-services')!.content['refresh'] = '1h'
    const { others } = await planDashboards(apiOf(standIn), undefined, preview)
    expect(others.map(({ differs }) => differs)).toEqual([true, false])
  })

  test('is set on a dashboard of an earlier version or from a file, which no removal deletes before', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    standIn.dashboards.get('mesh-canary-services')!.content['tags'] = ['mesh-canary', 'istio']
    expect(await removeAll(standIn)).toEqual({
      removed: ['mesh-canary-canary'],
      notes: ['the Grafana dashboard Mesh services stays: it has no tag that says which config has written it'],
    })
    expect(await actions(standIn)).toEqual(['change', 'create'])
    await writeAll(standIn)
    expect(await actions(standIn)).toEqual(['unchanged', 'unchanged'])
  })

  test('cannot be set on a dashboard that mesh-canary did not write', async () => {
    const standIn = await grafanaStandIn()
    await writeAll(standIn)
    standIn.dashboards.get('mesh-canary-services')!.content['tags'] = ['team']
    await expect(actions(standIn)).rejects.toThrow(
      'observability.dashboards.grafana: Grafana has a dashboard with the UID mesh-canary-services that mesh-canary did ' +
        'not write; delete it, or give it the tag mesh-canary to have it replaced by Mesh services',
    )
    expect((await removeAll(standIn)).removed).toEqual(['mesh-canary-canary'])
  })

  test('differs by the name of the config, and by its namespace, also in another cluster', async () => {
    const clusterOf = (uid: string) =>
      recordingCluster([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', uid } }]).cluster
    const config = { names: ['acme/shop mesh.yaml'], earlier: [], namespace: 'shop', prunes: true }
    const production = await dashboardOwner(clusterOf('uid-of-production'), config)
    expect(production.title).toBe('acme/shop mesh.yaml, namespace shop (UID uid-of-production)')
    const others = await Promise.all([
      dashboardOwner(clusterOf('uid-of-production'), { ...config, names: ['acme/pay mesh.yaml'] }),
      dashboardOwner(clusterOf('uid-of-preview'), config),
    ])
    const tags = [production, ...others].flatMap((each) => each.tags)
    expect(new Set(tags).size).toBe(3)
    // Grafana's database keeps 50 characters of a tag.
    expect(tags.every((tag) => tag.length <= 50)).toBe(true)
    expect(await dashboardOwner(clusterOf('uid-of-production'), config)).toEqual(production)
  })
})

describe('the folder', () => {
  const folders = [
    { uid: 'team', title: 'Team' },
    { uid: 'a1', title: 'Shared' },
    { uid: 'b2', title: 'Shared' },
    { uid: 'locked', title: 'Locked', canSave: false },
  ]
  const uidOf = async (folder?: string) => folderUid(apiOf(await grafanaStandIn({ folders })), folder)

  test('is found by its UID and by its title, and is the root without a name', async () => {
    expect(await uidOf('team')).toBe('team')
    expect(await uidOf('Team')).toBe('team')
    expect(await uidOf()).toBeUndefined()
  })

  test.each([
    [
      'Nobody',
      'observability.dashboards.grafana.folder: Grafana has no folder with the UID or title Nobody; create it, or set one of: Team,',
    ],
    [
      'Shared',
      'observability.dashboards.grafana.folder: Shared is the title of 2 folders; write the UID of one: a1, b2',
    ],
    ['locked', 'observability.dashboards.grafana.token: it may not write to the folder locked'],
  ])('%s is refused', async (folder, message) => {
    await expect(uidOf(folder)).rejects.toThrow(message)
  })
})

describe('the root folder', () => {
  const rootFor = async (rights: Record<string, string[]> | undefined) =>
    folderUid(apiOf(await grafanaStandIn({ rights: () => rights })), undefined)

  test('is for a token that may write to it, or to all folders', async () => {
    for (const scope of ['*', 'folders:*', 'folders:uid:*', 'folders:uid:general'])
      await expect(rootFor({ 'dashboards:create': [scope] })).resolves.toBeUndefined()
  })

  test.each([{ 'dashboards:read': ['dashboards:*'] }, { 'dashboards:create': ['folders:uid:team'] }])(
    'refuses a token with the rights %j, before anything is written',
    async (rights) => {
      await expect(rootFor(rights)).rejects.toThrow(
        'observability.dashboards.grafana.token: it may not write dashboards to the root folder; give its service account ' +
          'the role Editor, or name a folder that it may edit',
      )
    },
  )

  test('of a Grafana that does not tell the rights is not refused', async () => {
    await expect(rootFor(undefined)).resolves.toBeUndefined()
  })
})

describe('a server that is not what the config says', () => {
  const key = 'observability.dashboards.grafana'
  async function answering(status: number, body: string, headers: Record<string, string> = {}): Promise<string> {
    const { address } = await serve((_, response) => void response.writeHead(status, headers).end(body))
    return address
  }
  const problem = async (url: string) => {
    const error = await folderUid(apiOf({ url }), undefined).then(
      () => undefined,
      (thrown: unknown) => (thrown as Error).message.replaceAll(url, 'URL'),
    )
    return error
  }

  test('with a token that Grafana does not know', async () => {
    const { url } = await grafanaStandIn()
    await expect(folderUid(apiOf({ url }, 'wrong'), undefined)).rejects.toThrow(
      `${key}.token: ${url} does not accept it (HTTP 401: Invalid API key); set a token of a Grafana service account`,
    )
  })

  test('with HTML instead of JSON', async () => {
    expect(await problem(await answering(200, '<!doctype html><title>Login</title>'))).toBe(
      `${key}.url: URL answers HTML (HTTP 200) instead of Grafana's JSON; check the address, its path (such as /grafana), ` +
        'and whether a login page stands before it',
    )
  })

  test('with HTML for a path that it does not have', async () => {
    expect(await problem(await answering(404, '<html>no such page</html>'))).toContain('answers HTML (HTTP 404)')
  })

  test('with the JSON of another program', async () => {
    expect(await problem(await answering(200, '{"status":"success"}'))).toContain(
      `${key}.url: the answer is not that of a Grafana`,
    )
  })

  test('with a redirect, and the token does not follow it', async () => {
    const elsewhere = await serve((_, response) => void response.end('[]'))
    const url = await answering(302, '', { location: `${elsewhere.address}/login?next=%2F` })
    expect(await problem(url)).toBe(
      `${key}.url: URL redirects to ${elsewhere.address}/login (HTTP 302) instead of answering; set the address that answers itself`,
    )
    expect(elsewhere.requests).toEqual([])
  })

  test('with a refusal', async () => {
    expect(await problem(await answering(403, '{"message":"Permissions needed: folders:read"}'))).toBe(
      `${key}.token: it may not do that at URL (HTTP 403: Permissions needed: folders:read); give its service account the role Editor`,
    )
    expect(await problem(await answering(500, '{"message":"database is locked"}'))).toBe(
      `${key}.url: URL does not work now (HTTP 500: database is locked); look at Grafana and at what stands before it`,
    )
  })

  test('that is not there', async () => {
    const nobody = 'http://127.0.0.1:2'
    expect(await problem(nobody)).toBe(
      `${key}.url: URL does not answer (ECONNREFUSED); check the address and the network`,
    )
  })

  test('a message shows neither the token nor what the address holds besides host and path', async () => {
    const { url } = await grafanaStandIn()
    const secret = url.replace('http://', 'http://admin:secret@')
    const error = await folderUid(apiOf({ url: `${secret}/?key=secret` }, 'wrong-token'), undefined).catch(String)
    expect(error).toContain(url)
    expect(error).not.toMatch(/secret|wrong-token/)
  })
})

describe('annotations', () => {
  const running = new AbortController().signal
  const backend: Followed = { namespace: 'shop', service: 'backend', stable: 'v1', canary: 'v2', steps: [] }
  const steps = [
    { at: 1_000, text: 'weight 5%' },
    { at: 2_000, text: 'weight 25%' },
  ]
  const ended = { at: 3_000, verdict: 'rolled-back', reason: 'success rate 80%' }

  test('are written once for each step and for the verdict, in their order', async () => {
    const standIn = await grafanaStandIn()
    const annotator = createAnnotator(apiOf(standIn), (error) => expect.unreachable(String(error)))
    annotator.follow([backend])
    annotator.follow([{ ...backend, steps: steps.slice(0, 1) }])
    annotator.follow([{ ...backend, steps: steps.slice(0, 1) }])
    annotator.follow([{ ...backend, steps }])
    annotator.follow([{ ...backend, steps, ended }])
    annotator.follow([{ ...backend, steps, ended }])
    await annotator.finish(5_000, running)
    const tags = ['mesh-canary', 'shop', 'backend']
    expect(standIn.annotations).toEqual([
      { time: 1_000, tags, text: 'backend: v1 → v2, weight 5%' },
      { time: 2_000, tags, text: 'backend: v1 → v2, weight 25%' },
      { time: 3_000, tags: [...tags, 'rolled-back'], text: 'backend: v1 → v2, rolled-back: success rate 80%' },
    ])
  })

  test('of a fleet name the cluster', async () => {
    const standIn = await grafanaStandIn()
    const annotator = createAnnotator(apiOf(standIn), (error) => expect.unreachable(String(error)))
    annotator.follow([{ ...backend, cluster: 'eu', steps: steps.slice(0, 1) }])
    await annotator.finish(5_000, running)
    const tags = ['mesh-canary', 'eu', 'shop', 'backend']
    expect(standIn.annotations).toEqual([{ time: 1_000, tags, text: 'eu: backend: v1 → v2, weight 5%' }])
  })

  test('of two promotions are kept apart', async () => {
    const standIn = await grafanaStandIn()
    const annotator = createAnnotator(apiOf(standIn), (error) => expect.unreachable(String(error)))
    annotator.follow([
      { ...backend, steps: steps.slice(0, 1) },
      { ...backend, service: 'frontend', steps: steps.slice(0, 1) },
    ])
    await annotator.finish(5_000, running)
    expect(standIn.annotations.map(({ tags }) => tags[2])).toEqual(['backend', 'frontend'])
  })

  test('that fail are reported once', async () => {
    const failures: unknown[] = []
    const annotator = createAnnotator(apiOf(await grafanaStandIn(), 'wrong'), (error) => failures.push(error))
    annotator.follow([{ ...backend, steps, ended }])
    await annotator.finish(5_000, running)
    expect(failures.map(String)).toEqual([expect.stringContaining('HTTP 401')])
  })

  test('that Grafana never takes do not hold up the end of a run', async () => {
    const { address } = await serve(() => undefined)
    const failures: unknown[] = []
    const annotator = createAnnotator(grafanaApi({ url: address, token }, 60_000), (error) => failures.push(error))
    annotator.follow([{ ...backend, steps, ended }])
    await annotator.finish(50, running)
    expect(failures.map(String)).toEqual(['Error: Grafana did not take all annotations within 0.05 s'])
  })

  test('are not waited for once the run is cancelled, and that is said', async () => {
    const { address } = await serve(() => undefined)
    const failures: unknown[] = []
    const annotator = createAnnotator(grafanaApi({ url: address, token }, 60_000), (error) => failures.push(error))
    annotator.follow([{ ...backend, steps, ended }])
    await annotator.finish(60_000, AbortSignal.abort(new Error('cancelled')))
    expect(failures.map(String)).toEqual(['Error: Grafana did not take all annotations before the run was cancelled'])
  })

  test('that Grafana has taken are not reported when the run is cancelled', async () => {
    const annotator = createAnnotator(apiOf(await grafanaStandIn()), (error) => expect.unreachable(String(error)))
    annotator.follow([{ ...backend, steps, ended }])
    await annotator.finish(60_000, running)
    await annotator.finish(60_000, AbortSignal.abort(new Error('cancelled')))
  })
})
