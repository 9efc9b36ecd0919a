/**
 * At most so many UTF-16 units of the text, with an ellipsis if it is cut. No character is cut in two: JSON cannot hold a
 * half.
 */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text
  return `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, '')}…`
}
