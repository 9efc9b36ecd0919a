// The colours of the page, which its style sheet states once for light, dark and print.
import type { Role } from '../chart-spec.ts'

/** `page`: the background. */
export type Palette = {
  page: string
  text: string
  grid: string
  mark: string
  font: string
  colourOf: (role: Role) => string
}

export function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element)
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim()
  return {
    page: colour('page'),
    text: colour('muted'),
    grid: colour('grid'),
    mark: colour('mark'),
    font: `12px ${style.fontFamily}`,
    colourOf: colour,
  }
}
