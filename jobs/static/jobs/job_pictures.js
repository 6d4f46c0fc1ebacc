// Pictures at full size in a dialog: arrow keys turn to the next one, Escape closes, the focus goes back.
export function startPictures(page) {
  const dialog = document.getElementById("job-dialog");
  const image = dialog.querySelector("img");
  const link = dialog.querySelector("a");
  let current = null;

  const pictures = () => [...page.querySelectorAll(".job-picture")];

  function show(picture) {
    current = picture.getAttribute("href");
    image.src = link.href = current;
    image.alt = picture.querySelector("img").alt;
    dialog.querySelector("#job-dialog-facts").textContent = picture.dataset.facts;
    dialog.querySelector("#job-dialog-caption").textContent = picture.dataset.caption;
    if (!dialog.open) dialog.showModal();
  }

  function turn(by) {
    const all = pictures();
    const at = all.findIndex((picture) => picture.getAttribute("href") === current);
    if (all.length) show(all[(at + by + all.length) % all.length]);
  }

  // On the page: the pictures come and go while the job runs.
  page.addEventListener("click", (event) => {
    const picture = event.target.closest(".job-picture");
    if (!picture || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(picture);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
    const { turn: by } = event.target.dataset;
    if (by) turn(Number(by));
  });
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      event.preventDefault();
      turn(by);
    }
  });
  // A picture that is not shown need not stay in memory, and must not flash up before the next one.
  dialog.addEventListener("close", () => image.removeAttribute("src"));
}
