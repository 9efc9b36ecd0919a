import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { notes, obstacles, place } from '../../../dev/release.ts'

describe('the place of a version', () => {
  test.each([
    ['is that of the first release', 'v0.1.0', [], { previous: undefined, major: 'v0', latest: true }],
    [
      'is known for a minor version',
      'v1.3.0',
      ['v1.2.9', 'v1.2.10', 'v0.9.0'],
      { previous: 'v1.2.10', major: 'v1', latest: true },
    ],
    ['is known for a major version', 'v2.0.0', ['v1.9.0', 'v1'], { previous: 'v1.9.0', major: 'v2', latest: true }],
    [
      'is known for a patch of an older major version',
      'v1.9.1',
      ['v1.9.0', 'v2.0.0'],
      { previous: 'v1.9.0', major: 'v1', latest: false },
    ],
    [
      'is known for a patch of an older minor version',
      'v1.2.5',
      ['v1.2.4', 'v1.3.0'],
      { previous: 'v1.2.4', major: undefined, latest: false },
    ],
    [
      'is known for a prerelease',
      'v2.0.0-rc.2',
      ['v2.0.0-rc.1', 'v1.9.0'],
      { previous: 'v2.0.0-rc.1', major: undefined, latest: false },
    ],
    [
      'counts from the release before, not from its own prereleases',
      'v2.0.0',
      ['v2.0.0-rc.2', 'v1.9.0'],
      { previous: 'v1.9.0', major: 'v2', latest: true },
    ],
    [
      'ignores a newer prerelease',
      'v1.9.1',
      ['v1.9.0', 'v2.0.0-rc.1'],
      { previous: 'v1.9.0', major: 'v1', latest: true },
    ],
    [
      'ignores its own tag and tags that are not versions',
      'v1.0.0',
      ['v1.0.0', 'v1', 'v3', 'kept', 'v9.9', '9.0.0'],
      { previous: undefined, major: 'v1', latest: true },
    ],
  ])('%s', (_, tag, tags, expected) => expect(place(tag, tags)).toEqual(expected))

  test.each(['1.2.3', 'v1.2', 'v1', 'v01.2.3', 'v1.2.3+build', 'release', ''])('%s is not a version', (tag) =>
    expect(() => place(tag, [])).toThrow(`${tag} is no version`),
  )
})

describe('the release check', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-release-'))
  const before = process.cwd()
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=A developer', '-c', 'user.email=dev@example.com', ...args], {
      cwd: folder,
      encoding: 'utf8',
    }).trim()
  const commit = (message: string, file = 'README.md') => {
    writeFileSync(join(folder, file), message)
    git('add', '--all')
    git('commit', '--quiet', '--message', message)
  }

  beforeAll(() => {
    git('init', '--quiet', '--initial-branch=main')
    writeFileSync(join(folder, 'package.json'), '{ "version": "1.1.0" }')
    commit('First', 'action.yml')
    git('tag', '--annotate', 'v1.0.0', '--message', 'First')
    commit('An input more', 'action.yml')
    commit('A test more')
    git('tag', '--annotate', 'v1.1.0', '--message', 'One input more\n\nIt is explained in the README.')
    git('tag', 'v1.1.1')
    process.chdir(folder)
  })
  afterAll(() => {
    process.chdir(before)
    rmSync(folder, { recursive: true })
  })

  test('accepts an annotated tag on main that is checked out and has the version of package.json', () =>
    expect(obstacles('v1.1.0', 'main')).toEqual([]))

  test('rejects a tag without a message and with another version', () =>
    expect(obstacles('v1.1.1', 'main')).toEqual([
      expect.stringMatching(/^v1\.1\.1 has no message/),
      expect.stringMatching(
        /^package\.json says version 1\.1\.0: set it by `npm version --no-git-tag-version 1\.1\.1`/,
      ),
    ]))

  test('rejects a tag that is not checked out', () =>
    expect(obstacles('v1.0.0', 'main')[0]).toMatch(/^v1\.0\.0 is not what is checked out/))

  test('rejects a tag that is not on main, and uncommitted changes', () => {
    expect(obstacles('v1.1.0', 'v1.0.0')).toEqual([
      expect.stringMatching(/^v1\.1\.0 is not on v1\.0\.0: merge it first/),
    ])
    writeFileSync(join(folder, 'README.md'), 'changed')
    expect(obstacles('v1.1.0', 'main')).toEqual([expect.stringMatching(/^files differ from the commit/)])
    git('checkout', '--quiet', '--', '.')
  })

  test('writes notes with the message of the tag, the changes for users and the commit to pin', () => {
    const text = notes('v1.1.0', 'v1.0.0', 'owner/name')
    expect(text).toContain('One input more\n\nIt is explained in the README.\n')
    expect(text).toContain('## Changes since v1.0.0\n\n- An input more\n')
    expect(text).not.toContain('A test more')
    expect(text).toContain(`- uses: owner/name@${git('rev-parse', 'HEAD')} # v1.1.0\n`)
    expect(notes('v1.0.0', undefined, 'owner/name')).not.toContain('Changes since')
  })
})
