// `npm run release -- vX.Y.Z`: checks whether a tag can be released, and prints the release. It changes nothing: a
// maintainer runs it before the push of the tag, and the workflow release.yml publishes its output.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setOutput } from '@actions/core'
import { parse, rcompare, type SemVer } from 'semver'
import { dist } from './check.ts'

/** The relation of a new release to the existing ones. */
export type Place = {
  /** The release that the list of changes starts from. */
  previous: string | undefined
  /** The tag to move to it, such as `v1`. None for a prerelease, and none for a patch of an older minor version. */
  major: string | undefined
  /** True if it is the newest of all stable releases. */
  latest: boolean
}

/** Ignores tags that are no versions. @throws Error if `tag` is no version */
export function place(tag: string, tags: readonly string[]): Place {
  const version = versionOf(tag)
  if (!version) throw new Error(`${tag} is no version: expected v1.2.3 or, for a prerelease, v1.2.3-rc.1`)
  const others = tags
    .filter((each) => each !== tag)
    .flatMap((each) => versionOf(each) ?? [])
    .sort(rcompare)
  const stable = others.filter(({ prerelease }) => prerelease.length === 0)
  const isNewest = (among: readonly SemVer[]) =>
    version.prerelease.length === 0 && among.every((each) => version.compare(each) > 0)
  const previous = (version.prerelease.length === 0 ? stable : others).find((each) => version.compare(each) > 0)
  return {
    previous: previous && `v${previous.version}`,
    major: isNewest(stable.filter(({ major }) => major === version.major)) ? `v${version.major}` : undefined,
    latest: isNewest(stable),
  }
}

function versionOf(tag: string): SemVer | undefined {
  const version = parse(tag)
  return version && tag === `v${version.version}` ? version : undefined
}

const git = (...args: string[]) =>
  execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()

/** A sentence for each reason not to release the tag. `main` is the branch that releases come from. */
export function obstacles(tag: string, main: string): string[] {
  const found: string[] = []
  if (git('cat-file', '-t', `refs/tags/${tag}`) !== 'tag')
    found.push(`${tag} has no message, which would be the head of the notes: make it with \`git tag --annotate\``)
  if (git('rev-parse', `${tag}^{commit}`) !== git('rev-parse', 'HEAD'))
    found.push(`${tag} is not what is checked out: check it out, so that what is looked at is what is released`)
  if (git('status', '--porcelain', '--untracked-files=no') !== '')
    found.push('files differ from the commit: commit them, or put them back')
  if (!isAncestor(tag, main)) found.push(`${tag} is not on ${main}: merge it first, or tag what was merged`)
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  if (tag !== `v${version}`)
    found.push(
      `package.json says version ${version}: set it by \`npm version --no-git-tag-version ${tag.slice(1)}\`, build, and tag that commit`,
    )
  return found
}

function isAncestor(tag: string, main: string): boolean {
  try {
    git('merge-base', '--is-ancestor', `${tag}^{commit}`, main)
    return true
  } catch {
    return false
  }
}

/** The release notes: the message of the tag, the changes for users, and how to use exactly this release. */
export function notes(tag: string, previous: string | undefined, repository: string): string {
  const message = git('tag', '--list', '--format=%(contents:subject)%0a%0a%(contents:body)', tag)
  const changes =
    previous === undefined
      ? ''
      : git(
          'log',
          '--no-merges',
          '--format=- %s',
          `${previous}..${tag}`,
          '--',
          'src',
          'deploy',
          'action.yml',
          'package-lock.json',
        )
  return `${message}
${changes && `\n## Changes since ${previous}\n\n${changes}\n`}
## Use

\`\`\`yaml
- uses: ${repository}@${git('rev-parse', `${tag}^{commit}`)} # ${tag}
\`\`\`

In a checkout of it, \`gh attestation verify dist/index.js --repo ${repository}\` shows that these bundles were built from this source by this repository's workflow.
`
}

/** @throws Error that lists all obstacles */
async function release(tag: string): Promise<void> {
  const tags = git('tag').split('\n')
  const { previous, major, latest } = place(tag, tags)
  if (!tags.includes(tag))
    throw new Error(
      `there is no tag ${tag}: make it with \`git tag --annotate ${tag}\`; its message is the head of the notes`,
    )
  const found = obstacles(tag, 'origin/main')
  await dist().catch((error: unknown) => found.push(error instanceof Error ? error.message : String(error)))
  if (found.length > 0) throw new Error(`${tag} cannot be released:\n${found.map((each) => `- ${each}`).join('\n')}`)
  const text = notes(tag, previous, process.env['GITHUB_REPOSITORY'] ?? 'OWNER/mesh-canary')
  console.log(
    `${tag}: ${major ? `${major} moves to it` : 'no major tag moves'}, ${latest ? 'the latest release' : 'not the latest release'}; its notes:\n\n${text}`,
  )
  if (!process.env['GITHUB_OUTPUT']) return
  for (const [name, value] of Object.entries({
    notes: text,
    major: major ?? '',
    latest,
    prerelease: tag.includes('-'),
  }))
    setOutput(name, value)
}

if (import.meta.main) {
  try {
    await release(process.argv[2] ?? '')
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
