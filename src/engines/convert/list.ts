// The list of what a conversion did not express, as comments: they stay with the result, also where the output goes into a
// file, and a reviewer of that file sees them.
import { dotted } from '../../policies/manifests/field-checker.ts'
import type { Entry } from './ledger.ts'
import { meshYaml } from './ours.ts'

const headings: Record<Entry['about'], string> = {
  left: 'Not in the result:',
  default: 'Defaults of mesh.yaml, which are not in the result either:',
  differs: 'In the result, with another meaning:',
  assumed: 'In the result, but not in the source:',
}

/** Lines that begin with `#`; empty if there is nothing to say. */
export function listComment(entries: readonly Entry[]): string {
  const sections = (Object.keys(headings) as Entry['about'][]).map((about) => {
    const lines = entries.filter((entry) => entry.about === about).map((entry) => `# - ${lineOf(entry)}`)
    return lines.length === 0 ? '' : `#\n# ${headings[about]}\n${lines.join('\n')}\n`
  })
  return sections.join('')
}

/** One line: place, object, path, value, and what to know. */
export function lineOf({ about, object, path, value, says }: Entry): string {
  const { kind, name, place } = object
  const field = dotted([...path])
  const title = kind === meshYaml ? '' : [kind, name].filter((part) => part !== '').join(' ')
  const shown = about === 'assumed' || path.length === 0 || value === undefined ? '' : ` = ${shownValue(value)}`
  return oneLine(`${place(path)}: ${[title, field].filter((part) => part !== '').join(': ')}${shown}: ${says}`)
}

const maxLength = 100

/** As JSON, shortened. An address may be a secret, so only its host is shown; a text that looks like a token is not. */
function shownValue(value: unknown): string {
  const text = JSON.stringify(value, (key, each: unknown) =>
    typeof each === 'string' ? withoutSecrets(key, each) : each,
  )
  return text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`
}

function withoutSecrets(key: string, text: string): string {
  if (/token|secret|password/i.test(key) && !/secretRef|name/i.test(key)) return '…'
  return text
    .replace(/(https?:\/\/)(?:[^\s/@"]*@)?([^\s/?#"]+)[^\s"]*/g, (address, scheme: string, host: string) =>
      address === `${scheme}${host}` ? address : `${scheme}${host}/…`,
    )
    .replace(/\w{24,}/g, (run) => (/\d/.test(run) && /[a-z]/i.test(run) ? '…' : run))
}

/** A comment ends with its line, whatever a value contains. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
}
