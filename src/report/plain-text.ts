// Text from the cluster in a comment on GitHub or GitLab: it stays text, and notifies nobody. Pure.
import { bidiControls } from '../runtime/bidi.ts'
import { cutText } from '../runtime/cut-text.ts'
import { escape } from './markdown.ts'

const lengthLimit = 1_000

/** Without markup, and without references to anybody or anything. */
export function plainText(text: string): string {
  return escape(withoutReferences(cutText(text, lengthLimit))).replaceAll('&', '&amp;')
}

const turning = new RegExp(`[${bidiControls}]`, 'g')

/**
 * A character of no width keeps what GitHub and GitLab document as references from becoming links, which notify people:
 * names, issues, merge requests, milestones, labels, commits (7 hexadecimal digits and more), tickets of Jira, and
 * addresses. It also keeps `$` from beginning a formula. What turns text around is left out.
 */
function withoutReferences(text: string): string {
  return text
    .replace(turning, '')
    .replace(
      /[@#!&%^~$](?=\S)|\[(?=\w+:)|\b[wW]{3}(?=\.)|\b(?:[gG][hH]|[A-Z][A-Z\d_]+)-(?=\d)|[\da-fA-F]{6}(?=[\da-fA-F])/g,
      '$&\u200b',
    )
    .replaceAll('://', ':\u200b//')
}
