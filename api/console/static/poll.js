// Something is being worked on: fetch the page again until it is not, then show all of it.
import { refresh } from "./live.js";

const PAUSE = 2000;

export function poll(root, after) {
  if (!root.querySelector("[data-poll]")) return;
  setTimeout(async () => {
    await refresh(after).catch(() => {});
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer?.ok && !(await answer.text()).includes("data-poll")) return location.reload();
    poll(document, after);
  }, PAUSE);
}
