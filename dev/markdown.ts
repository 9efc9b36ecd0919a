// Renders Markdown for a terminal. A file, a pipe and NO_COLOR get the same text without colours.
import { stripVTControlCharacters, styleText } from 'node:util'
import { Marked } from 'marked'
import { markedTerminal } from 'marked-terminal'

const renderer = new Marked(markedTerminal() as Parameters<Marked['use']>[0])

export function renderMarkdown(markdown: string, stream: NodeJS.WriteStream): string {
  const text = renderer.parse(unfolded(markdown), { async: false })
  // marked-terminal's tables are coloured wherever they go, so `styleText` decides as it does for the command line.
  const hasColours = styleText('bold', 'x', { stream }) !== 'x'
  return hasColours ? text : stripVTControlCharacters(text)
}

/** A terminal folds nothing, so a folded part gets a heading instead. */
function unfolded(markdown: string): string {
  return markdown.replace(/<details>\n<summary><b>(.*)<\/b><\/summary>\n/g, '### $1\n').replace(/^<\/details>\n/gm, '')
}
