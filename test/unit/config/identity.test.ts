import { mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { identityOf } from '../../../src/config/identity.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { fileWith, tempFolder } from '../fixtures.ts'

const onGitHub = (repository: string) => ({ GITHUB_SERVER_URL: 'https://github.test', GITHUB_REPOSITORY: repository })

/** A checkout of the remote, with a config file. Returns the file. */
function checkout(remote: string, file = 'deploy/mesh.yaml'): string {
  const folder = tempFolder()
  mkdirSync(join(folder, '.git'))
  writeFileSync(join(folder, '.git/config'), `[core]\n\tbare = false\n[remote "origin"]\n\turl = ${remote}\n`)
  mkdirSync(dirname(join(folder, file)), { recursive: true })
  writeFileSync(join(folder, file), 'mtls: strict')
  return join(folder, file)
}

describe('the owner of the policies of a config', () => {
  test('is its repository and its path, so that two repositories with a mesh.yaml each differ', () => {
    const file = fileWith('mtls: strict')
    const [shop, web] = ['acme/shop', 'acme/web'].map((name) => identityOf(file, undefined, onGitHub(name)))
    expect(shop).toMatchObject({ owner: 'github.test/acme/shop mesh.yaml', repository: 'github.test/acme/shop' })
    expect(web!.owner).toBe('github.test/acme/web mesh.yaml')
    expect(shop!.earlier).toEqual(web!.earlier)
  })

  test.each([
    'https://user:s3cr3t@git.test/Acme/Shop.git',
    'git@git.test:acme/shop.git',
    'ssh://git@git.test:2222/acme/shop',
    'https://git.test/acme/shop/',
  ])('is the same for every address of the remote: %s', (remote) => {
    expect(identityOf(checkout(remote), undefined, {})).toMatchObject({ owner: 'git.test/acme/shop deploy/mesh.yaml' })
  })

  test('is that of the checkout, even if the job belongs to another repository', () => {
    const [a, b] = ['a', 'b'].map((name) =>
      identityOf(checkout(`https://git.test/acme/${name}`), undefined, onGitHub('acme/deploy')),
    )
    expect([a!.owner, b!.owner]).toEqual(['git.test/acme/a deploy/mesh.yaml', 'git.test/acme/b deploy/mesh.yaml'])
  })

  test('is that of the repository in a worktree and in a submodule, where .git is a file', () => {
    const folder = dirname(dirname(checkout('https://git.test/acme/shop')))
    mkdirSync(join(folder, '.git/worktrees/one'), { recursive: true })
    writeFileSync(join(folder, '.git/worktrees/one/commondir'), '../..\n')
    const file = fileWith('mtls: strict')
    writeFileSync(join(dirname(file), '.git'), `gitdir: ${join(folder, '.git/worktrees/one')}\n`)
    expect(identityOf(file, undefined, {}).owner).toBe('git.test/acme/shop mesh.yaml')
  })

  test.each<[string, Record<string, string>]>([
    ['GitLab', { CI_PROJECT_URL: 'https://git.test/acme/shop' }],
    ['Jenkins', { GIT_URL: 'git@git.test:acme/shop.git' }],
    ['CircleCI', { CIRCLE_REPOSITORY_URL: 'git@git.test:acme/shop.git' }],
    ['Azure', { BUILD_REPOSITORY_URI: 'https://git.test/acme/shop' }],
  ])('comes from %s where there is no checkout', (_, env) => {
    expect(identityOf(fileWith(''), undefined, env).owner).toBe('git.test/acme/shop mesh.yaml')
  })

  test('is the file on this machine where no repository is known, or where the remote is only a folder', () => {
    for (const file of [fileWith(''), checkout('/srv/git/shop.git')])
      expect(identityOf(file, undefined, {})).toMatchObject({ owner: `${hostname()}:${file}`, prunes: true })
  })

  test('is the given name, in every place; objects from before it had a name stay its own', () => {
    const file = fileWith('name: shop')
    const { identity } = loadConfig({ INPUT_CONFIG: file }, onGitHub('acme/shop'))
    expect(identity).toMatchObject({ owner: 'shop', withoutName: 'github.test/acme/shop mesh.yaml', prunes: true })
    expect(loadConfig({ INPUT_CONFIG: file, INPUT_NAME: 'other' }).identity.owner).toBe('other')
  })

  test('of inputs alone deletes nothing, because other steps of the workflow have inputs too', () => {
    expect(loadConfig({ INPUT_MTLS: 'strict' }).identity.prunes).toBe(false)
    expect(loadConfig({ INPUT_MTLS: 'strict', INPUT_NAME: 'shop' }).identity.prunes).toBe(true)
  })
})
