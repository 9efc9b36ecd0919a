/** So many of a thing, such as "1 pod" or "2 pods". */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
