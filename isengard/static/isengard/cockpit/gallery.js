// Keys of one picture's page: arrows turn to the next, Escape goes back to all of them.
const TURNS = { ArrowLeft: "newer", ArrowRight: "older", Escape: "back" };

addEventListener("keydown", (event) => {
  const isElsewhere = event.target.closest("input, select, textarea, dialog, [contenteditable]");
  if (isElsewhere || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const link = document.querySelector(`a[data-turn="${TURNS[event.key]}"]`);
  if (!link) return;
  event.preventDefault();
  link.click();
});
