// What somebody is about to copy is not taken away under the pointer.

/** Return whether selected text lies within an element. */
export function isSelectedIn(element) {
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && selection.rangeCount && selection.getRangeAt(0).intersectsNode(element));
}
