// Forms that ask first.

/** Ask the question of each form that has one; a no keeps the form from being sent. */
export function askFirst(page) {
  page.addEventListener("submit", (event) => {
    const { question } = event.target.dataset;
    if (question && !confirm(question)) event.preventDefault();
  });
}
