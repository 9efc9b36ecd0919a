// Errors in a YAML text, as plain sentences. js-yaml's own messages describe its parser, and some quote the text, which
// may be a secret.
import type { YAMLException } from 'js-yaml'

/** `reason` starts in lower case and quotes nothing from the text. */
export class YamlError extends Error {
  readonly line: number
  readonly reason: string

  constructor(line: number, reason: string) {
    super(`line ${line}: ${reason}`)
    this.line = line
    this.reason = reason
  }
}

export const refusedKey = '`__proto__` is not a known key; remove it'

const tagFault =
  'a tag (a word that begins with `!`) is not known, or does not fit its value; quote it if it is meant as text'
const keyFault = 'a key has no colon; write `key: value`'
const characterFault = 'there is a control character; remove it, or write it as an escape in double quotes'

/** By how js-yaml's own reason begins; the first that fits. */
const sentences: [beginning: string, sentence: string][] = [
  ['duplicated mapping key', 'map keys must be unique; this key is already in the map'],
  [
    'unidentified alias',
    'a value that begins with `*` refers to an anchor that is not in this document; quote it if it is meant as text',
  ],
  ['recursive alias', 'an alias (`*`) refers to the value that contains it; write the value out'],
  ['aliases repeat', 'aliases (`*`) repeat far too many values; write them out, or split the file'],
  ['cannot merge mappings', 'a merge key (`<<`) needs an alias of a map, such as `<<: *defaults`, or a list of them'],
  ['merge keys exceeded', 'merge keys (`<<`) repeat far too many values; write them out, or split the file'],
  ['abnormal merge sequence size', 'a merge key (`<<`) has more than 100 maps; write the values out'],
  ['bad indentation of a sequence', 'this list item is not indented like the others'],
  [
    'bad indentation',
    'the indentation differs from the lines around it, or the value needs quotes (it contains `: `, ' +
      'or text follows a closing quote)',
  ],
  ['tab characters', 'tabs are not allowed as indentation; use spaces'],
  ['deficient indentation', 'a quote or bracket is not closed, or its content is not indented enough'],
  ['missed comma', 'a comma is missing between two entries inside [ ] or { }, or the bracket is not closed'],
  ["expected the node content, but found ','", 'there is no value before this comma'],
  ['unexpected end of the stream within a flow', 'a `[` or `{` is not closed'],
  ['unexpected end of the stream within a verbatim', tagFault],
  ['unexpected end of the', 'a quote is not closed'],
  ['can not read a block mapping entry', keyFault],
  ["expected ':' after a mapping key", keyFault],
  [
    'a line break is expected',
    'text follows `|` or `>` on the same line; move it to the next line, or quote the value',
  ],
  ['unknown escape sequence', 'YAML does not know this escape (`\\`); use single quotes, or double the backslash'],
  ['expected hexadecimal', 'this escape (`\\`) needs hexadecimal digits; use single quotes, or double the backslash'],
  ['end of the stream or a document', 'this line does not continue the map or list above it; check its indentation'],
  ['name of an a', 'a value cannot begin with `*` or `&`, which mark aliases and anchors; quote it'],
  ['nesting exceeded', 'the values are nested more than 100 levels deep'],
  ['object-based map', 'a key must be a single value, not a list or a map'],
  ['null byte', characterFault],
  ['expected valid JSON', characterFault],
  ['the stream contains non-printable', characterFault],
  ['directives end mark', 'a line with `---` must follow the directives (`%`)'],
]

/** Translates an error of js-yaml. The parsed text starts on line `firstLine` of the user's text. */
export function yamlErrorOf({ reason, mark }: YAMLException, firstLine: number): YamlError {
  // This is the text that js-yaml read; its spaces may differ from the user's text.
  const { buffer: source, position } = mark ?? { buffer: '', position: 0 }
  const before = source.slice(0, position)
  // js-yaml notices a missing colon only on the next line.
  const upToFault = reason.startsWith('can not read a block mapping entry') ? withoutLastLine(before) : before
  return new YamlError(firstLine + newlinesIn(upToFault), sentenceOf(reason, source[position]))
}

function sentenceOf(reason: string, character = ''): string {
  if (reason.startsWith('bad indentation') && /[@`%]/.test(character))
    return `a value cannot begin with ${character}; quote it`
  const sentence = sentences.find(([beginning]) => reason.startsWith(beginning))?.[1]
  // js-yaml has many reasons that concern tags, and several of them quote the tag.
  return sentence ?? (/\btag\b/.test(reason) ? tagFault : reason)
}

/** Ends with the last line above the last line that is neither blank nor a comment. */
function withoutLastLine(text: string): string {
  const lines = text.split('\n').slice(0, -1)
  return lines.slice(0, lines.findLastIndex((line) => !isBlank(line)) + 1).join('\n')
}

/** Whether a line is empty or only a comment. */
export function isBlank(line: string): boolean {
  return /^\s*(?:#|$)/.test(line)
}

export function newlinesIn(text: string): number {
  return text.split('\n').length - 1
}
