// The bundled command line, started from a shell. test/e2e/cli.test.ts runs the commands that need a cluster.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { build } from '../../../dev/build.ts'
import { main } from '../../../src/cli/program.ts'
import { exitCode } from '../../../src/cli/run.ts'
import { inputs } from '../../../src/config/inputs.ts'
import { nodeAt, publishedSchema } from '../../../src/config/published.ts'
import { stageNames } from '../../../src/config/schema/stages.ts'
import { tempFolder } from '../fixtures.ts'

const home = mkdtempSync(join(tmpdir(), 'mesh-canary-unit-'))
const cli = join(home, 'dist/cli.js')

beforeAll(async () => {
  copyFileSync('package.json', join(home, 'package.json'))
  await build(join(home, 'dist'))
}, 120_000)
afterAll(() => rmSync(home, { recursive: true }))

/** Runs the command line without a cluster, with only these variables of ours. */
function run(
  args: string[],
  env: Record<string, string> = {},
  cwd = tempFolder(),
): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
    cwd,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], HOME: '/nowhere', TMPDIR: cwd, ...env },
  })
  return { code: status, out: stdout, err: stderr }
}

/** Runs the command line in this process, to test what it rejects before a run starts. */
async function here(args: string[], env: Record<string, string>): Promise<{ code: number; err: string }> {
  let err = ''
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true))
  for (const [name, value] of Object.entries({ HOME: '/nowhere', KUBECONFIG: '', ...env })) vi.stubEnv(name, value)
  const code = await main(args, '0.0.0').finally(() => (vi.restoreAllMocks(), vi.unstubAllEnvs()))
  return { code, err }
}

function withConfig(text = 'namespace: of-file\nservices: { web: { timeout: 5s } }\n'): string {
  const folder = tempFolder()
  writeFileSync(join(folder, 'mesh.yaml'), text)
  return folder
}

describe('the command line', () => {
  test('lets an option override a variable, and a variable override the file', () => {
    const folder = withConfig()
    const plan = (args: string[], env: Record<string, string>) =>
      /namespace: (.*)/.exec(run(['plan', '--config', 'mesh.yaml', ...args], env, folder).out)?.[1]
    expect(plan([], {})).toBe('of-file')
    expect(plan([], { MESH_CANARY_NAMESPACE: 'of-variable' })).toBe('of-variable')
    expect(plan(['--namespace', 'of-option'], { MESH_CANARY_NAMESPACE: 'of-variable' })).toBe('of-option')
    expect(plan([], { MESH_CANARY_NAMESPACE: '' })).toBe('of-file')
  })

  test('has an option with a description for every input', () => {
    const help = run(['run', '--help']).out.replace(/\s+/g, ' ')
    const root = publishedSchema()
    for (const [name, { path }] of Object.entries(inputs)) {
      const description = nodeAt(path, root).description ?? ''
      expect(description).not.toBe('')
      expect(help).toMatch(new RegExp(` --${name} (<value>|\\[true\\|false\\]) `))
      expect(help).toContain(description.replace(/\s+/g, ' '))
    }
  })

  test('joins a list that is given twice, and accepts a flag without a value', () => {
    const { code, out } = run([
      'run',
      '--stages',
      'plan',
      '--stages',
      'verify',
      '--services',
      'web: { timeout: 5s }',
      '--dry-run',
      '--output',
      'json',
    ])
    expect([code, JSON.parse(out)]).toMatchObject([
      2,
      { dryRun: true, error: expect.stringContaining('there is none') as string },
    ])
    expect(run(['plan', '--stages', 'verify']).err).toContain("unknown option '--stages'")
  })

  test('runs the stage of a command, whatever MESH_CANARY_STAGES says', () => {
    expect(run(['plan', '--config', 'mesh.yaml'], { MESH_CANARY_STAGES: 'uninstall' }, withConfig()).code).toBe(0)
  })
})

describe('before any change, with one sentence and exit code 2, the command line', () => {
  test.each<[string, string[], Record<string, string>, string]>([
    ['an unknown option', ['run', '--stps', '5'], {}, "unknown option '--stps'\n(Did you mean --steps?)"],
    ['an unknown command', ['pln'], {}, '(Did you mean plan?)'],
    ['too many arguments', ['run', 'mesh.yaml'], {}, 'too many arguments'],
    [
      'an unknown variable',
      ['run'],
      { MESH_CANARY_STPS: '5' },
      'the variable MESH_CANARY_STPS is unknown; did you mean `MESH_CANARY_STEPS`?',
    ],
    ['an invalid value', ['run', '--canary', 'service: a', '--interval', '30'], {}, 'canary.interval: "30" is invalid'],
    ['a config file that does not exist', ['run', '--config', 'no.yaml'], {}, 'no.yaml cannot be read'],
    ['an unknown output format', ['plan', '--output', 'xml'], {}, 'Allowed choices are text, json'],
    [
      'a report that cannot be written',
      ['plan', '--services', 'a: { timeout: 1s }', '--junit', '/dev/null/x.xml'],
      {},
      '--junit: /dev/null/x.xml cannot be written',
    ],
    [
      'a summary whose path is a folder',
      ['plan', '--services', 'a: { timeout: 1s }', '--summary', '/tmp'],
      {},
      '--summary: /tmp cannot be written (EISDIR)',
    ],
  ])('rejects %s', async (_, args, env, text) => {
    const { code, err } = await here(args, env)
    expect(err).toContain(text)
    expect(err).not.toContain('    at ')
    expect(code).toBe(2)
  })

  test('rejects an unknown option without repeating its value', async () => {
    const { code, err } = await here(['run', '--tokn=s3cr3t-token'], {})
    expect(err).toContain("unknown option '--tokn=…'")
    expect(err).not.toContain('s3cr3t')
    expect(code).toBe(2)
  })

  test('rejects the content of a kubeconfig in an option, without repeating it', async () => {
    const { code, err } = await here(['verify', '--kubeconfig', '{ users: [{ token: SECRET }] }'], {})
    expect(err).toContain('--kubeconfig: expected a path')
    expect(err).not.toContain('SECRET')
    expect(code).toBe(2)
  })

  test('rejects problems that only the run finds', () => {
    expect(run(['run'])).toEqual({
      code: 2,
      out: '',
      err: 'error: inputs: there is nothing to do; give at least one of istio-version, workloads, mtls, services, canary, experiments, or a config file\n',
    })
    expect(run(['verify'])).toEqual({
      code: 2,
      out: '',
      err: 'error: kubeconfig: there is none: give the input `kubeconfig`, set KUBECONFIG, or create ~/.kube/config\n',
    })
  })

  test('reads the content of a kubeconfig from a variable, and leaves no file behind', () => {
    const folder = tempFolder()
    const content = JSON.stringify({
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
      clusters: [{ name: 'x', cluster: { server: 'https://127.0.0.1:1' } }],
      users: [{ name: 'x', user: { token: 'SECRET-TOKEN' } }],
    })
    const { code, err, out } = run(['verify'], { MESH_CANARY_KUBECONFIG: content }, folder)
    expect(err).toContain('https://127.0.0.1:1 does not answer')
    expect(out + err).not.toContain('SECRET-TOKEN')
    expect(code).toBe(2)
    expect(readdirSync(folder)).toEqual([])
  })
})

test('the exit code says whether a run is done, failed, rejected or cancelled', () => {
  const stages = (...names: string[]) => names.map((name) => ({ name, seconds: 1, outcome: 'done' as const }))
  expect(exitCode({ stages: stages('check', 'verify') }, undefined)).toBe(0)
  expect(exitCode({ error: 'x', stages: stages('check', 'verify') }, undefined)).toBe(1)
  expect(exitCode({ error: 'x', stages: stages('check') }, undefined)).toBe(2)
  expect(exitCode({ error: 'x', stages: stages('check', 'promote') }, 'SIGINT')).toBe(130)
  expect(exitCode({ error: 'x', stages: [] }, 'SIGTERM')).toBe(143)
  // The run was complete when the signal arrived.
  expect(exitCode({ stages: stages('check', 'verify') }, 'SIGINT')).toBe(0)
})

test('with json, standard output has only the report, and every file is written, in a new folder if needed', () => {
  const folder = withConfig()
  const { code, out, err } = run(
    [
      'plan',
      '--config',
      'mesh.yaml',
      '--output',
      'json',
      '--outputs',
      'out/mesh.env',
      '--summary',
      'out/mesh.md',
      '--report',
      'out/mesh.json',
    ],
    { MESH_CANARY_JUNIT: 'out/mesh.xml' },
    folder,
  )
  const file = (name: string) => readFileSync(join(folder, 'out', name), 'utf8')
  expect(code).toBe(0)
  expect(JSON.parse(out)).toMatchObject({ outcome: 'success', namespace: 'of-file' })
  expect(file('mesh.json')).toBe(out)
  expect(err).toContain('kind: VirtualService')
  expect(file('mesh.env')).toBe(`MESH_REPORT=${join(folder, 'out/mesh.json')}\n`)
  expect(file('mesh.md')).toMatch(/^## 📋 Rendered the config's objects; .*; nothing was changed\n/)
  expect(file('mesh.xml')).toContain('<testcase classname="mesh-canary.of-file" name="run"')
})

test('the command schema prints the published schema', () => {
  expect(JSON.parse(run(['schema']).out)).toEqual(publishedSchema())
})

describe('completion', () => {
  const complete = (...words: string[]) =>
    run(['complete', '--', ...words])
      .out.split('\n')
      .map((line) => line.split('\t')[0])
  test('suggests commands, options, and values of options', () => {
    expect(complete('')).toEqual(
      expect.arrayContaining(['run', 'plan', 'verify', 'promote', 'rollback', 'uninstall', 'init', 'schema']),
    )
    expect(complete('run', '--on-')).toEqual(['--on-cancel', '--on-drift', ':4', ''])
    expect(complete('run', '--mtls', '')).toEqual(['strict', 'permissive', 'disable', ':4', ''])
    expect(complete('run', '--stages', '')).toEqual([...stageNames, ':4', ''])
    expect(complete('promote', '--after', 'a')).toEqual(['adopt', ':4', ''])
  })

  test('suggests the existing config files', () => {
    const folder = withConfig()
    mkdirSync(join(folder, 'sub'))
    expect(run(['complete', '--', 'run', '--config', ''], {}, folder).out).toBe('mesh.yaml\t\n:4\n')
  })

  test.each(['bash', 'zsh', 'fish', 'powershell'])('has a script for %s that calls this program', (shell) => {
    const { code, out } = run(['complete', shell])
    expect(code).toBe(0)
    expect(out).toMatch(/mesh-canary['"]? complete --|ShellCompDirective/)
    if (shell === 'bash') expect(spawnSync('bash', ['-n'], { input: out }).status).toBe(0)
  })
})

describe('the commands in the documentation and the templates', () => {
  const files = [
    'docs/ci-systems.md',
    'examples/ci/gitlab/mesh-canary.gitlab-ci.yml',
    'examples/ci/jenkins/Jenkinsfile',
  ]
  const commands = files.flatMap((file) =>
    [
      ...readFileSync(file, 'utf8').matchAll(
        /^ *(?:(?:- |steps \{ |post \{ aborted \{ )?(?:sh ')?(?:\$MESH_CANARY|mesh-canary)) ((?:run|plan|promote|rollback|verify) .*?)(?:'.*| {2,}#.*)?$/gm,
      ),
    ].map(([, command = '']): [string, string] => [file, command]),
  )

  test('are found in each file', () => expect(new Set(commands.map(([file]) => file))).toEqual(new Set(files)))

  test.each(files)('come from the release of this version in %s', (file) => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    const named = [...readFileSync(file, 'utf8').matchAll(/download\/v(\S+)\/mesh-canary-(\S+)\.tgz/g)].flatMap(
      ([, tag, name]) => [tag, name],
    )
    expect(new Set(named)).toEqual(new Set([version]))
  })

  test.each(commands)('are understood: %s: %s', async (_, command) => {
    const words = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!)
    // The program understands the command, and then rejects it because this file does not exist.
    expect(await here([...words, '--config', '/nowhere/mesh.yaml'], {})).toMatchObject({
      code: 2,
      err: expect.stringContaining('/nowhere/mesh.yaml cannot be read') as string,
    })
  })
})

describe('simulate', () => {
  const plan = ['simulate', '--canary', '{ service: backend }', '--interval', '10s']

  test('prints the chances of the plan for each failure rate, and writes the chart', () => {
    const cwd = tempFolder()
    const { code, out } = run([...plan, '--rate', '50', '--runs', '20', '--chart', 'chances.svg'], {}, cwd)
    expect(code, out).toBe(0)
    expect(out).toMatch(/backend: 50 requests a second, steps 5, 25, 50, 100/)
    expect(out).toMatch(/^ +100% +0% +100% +0% /m)
    expect(readFileSync(join(cwd, 'chances.svg'), 'utf8')).toContain('</svg>')
  }, 60_000)

  test('simulates a cluster of a fleet, with its part of the chance of a false rollback', () => {
    const fleet =
      '{ namespace: shop, clusters: { eu: { context: eu }, us: { context: us } }, canary: { service: backend } }'
    const { code, out } = run(
      ['simulate', '--config', 'mesh.yaml', '--rate', '50', '--runs', '10'],
      {},
      withConfig(fleet),
    )
    expect(code, out).toBe(0)
    expect(out).toMatch(/^each of 2 clusters: backend: 50 requests a second/m)
    expect(out.match(/requests a second/g)).toHaveLength(1)
  }, 60_000)

  test('measures the rate in each cluster of a fleet, and names it', () => {
    const fleet = '{ namespace: shop, clusters: { eu: { kubeconfig: eu.yaml } }, canary: { service: backend } }'
    const { code, err } = run(['simulate', '--config', 'mesh.yaml'], {}, withConfig(fleet))
    expect(code).toBe(2)
    expect(err).toMatch(/eu\.yaml does not exist/)
  })

  test('warns if the traffic cannot support the plan', () => {
    expect(run([...plan, '--rate', '0.5', '--runs', '10']).out).toMatch(/warning: backend gets 0.5 requests a second/)
  }, 60_000)

  test.each([
    [['--rate', 'fast'], '--rate: expected the requests per second that the service gets, such as 10, but got "fast"'],
    [['--rate', '0'], '--rate: expected the requests per second that the service gets, such as 10, but got "0"'],
    [['--rate', '5', '--runs', '1'], '--runs: expected a whole number of promotions from 10, such as 400, but got "1"'],
    [['--rate', '5', '--runs', '10.5'], '--runs: expected a whole number of promotions from 10'],
    [[], '--rate: give the requests per second that backend gets, such as `--rate 10`; the mesh does not show it'],
  ])('rejects %j, or asks for the rate', (args, message) => {
    const { code, err } = run([...plan, ...args])
    expect(code).toBe(2)
    expect(err).toContain(message)
  })

  test('needs a canary', () => {
    expect(run(['simulate', '--rate', '5'])).toMatchObject({ code: 2 })
  })
})

describe('convert', () => {
  const files = 'test/unit/engines/convert/files'
  const read = (file: string) => readFileSync(join(files, file), 'utf8')

  test('prints a config that plan accepts without a warning, and --to prints the objects for it', () => {
    const folder = withConfig(read('flagger/storefront.yaml'))
    const forth = run(['convert', 'mesh.yaml'], {}, folder)
    expect(forth).toMatchObject({ code: 0, err: '' })
    expect(forth.out).toMatch(
      /^# Created by `mesh-canary convert` from mesh\.yaml\.\n#\n# Not in the result:\n# - mesh\.yaml:8: /,
    )

    writeFileSync(join(folder, 'converted.yaml'), forth.out)
    const plan = run(['plan', '--config', 'converted.yaml'], { KUBECONFIG: '' }, folder)
    expect(plan.code).toBe(0)
    expect(`${plan.out}${plan.err}`).not.toContain('warning')

    const back = run(['convert', '--to', 'flagger', 'converted.yaml'], {}, folder)
    expect(back).toMatchObject({ code: 0, err: '' })
    expect(back.out).toContain('\nkind: Canary\n')
  })

  test('reads several files', () => {
    const folder = withConfig(read('argo-rollouts/cart-services.yaml'))
    const [rollout, template] = readFileSync(join(folder, 'mesh.yaml'), 'utf8').split('---\n')
    writeFileSync(join(folder, 'rollout.yaml'), rollout!)
    writeFileSync(join(folder, 'template.yaml'), template!)
    const { out } = run(['convert', 'rollout.yaml', 'template.yaml'], {}, folder)
    expect(out).toContain('http-success:')
    expect(run(['convert', 'rollout.yaml'], {}, folder).out).toContain(
      '{"templateName":"http-success","clusterScope":true}: the input has no ClusterAnalysisTemplate http-success; give its file too',
    )
  })

  test('rejects what it cannot read, with exit code 2 and without output', () => {
    const folder = withConfig('kind: [')
    expect(run(['convert', 'mesh.yaml'], {}, folder)).toEqual({
      code: 2,
      out: '',
      err: 'error: mesh.yaml:1: is not valid YAML: a `[` or `{` is not closed\n',
    })
    expect(run(['convert', 'nowhere.yaml'], {}, folder)).toEqual({
      code: 2,
      out: '',
      err:
        'error: convert: the file nowhere.yaml cannot be read (ENOENT); check the path, and that the job checks the ' +
        'repository out first\n',
    })
    const several = run(['convert', '--to', 'flagger', 'mesh.yaml', 'mesh.yaml'], {}, folder)
    expect(several).toMatchObject({ code: 2, err: 'error: convert: with --to, give one config file; these are 2\n' })
    expect(run(['convert', '--to', 'spinnaker', 'mesh.yaml'], {}, folder).err).toContain('flagger, argo-rollouts')
  })
})
