/** Characters without a shape that turn the text around them, as a part of a class in a regular expression. */
export const bidiControls = String.raw`\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069`
