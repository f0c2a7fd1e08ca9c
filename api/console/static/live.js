// Server-sent events: when an order of this page moved, fetch the page again and swap its live regions.

const PAUSE = 1500;

export async function refresh(after) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-region]")) {
    const fresh = page.querySelector(`[data-region="${region.dataset.region}"]`);
    if (!fresh || fresh.innerHTML === region.innerHTML || region.contains(editing())) continue;
    region.replaceChildren(...fresh.childNodes);
    after(region);
  }
}

// What somebody is typing into is left alone.
function editing() {
  const active = document.activeElement;
  return active && active.matches("input, select, textarea, canvas") ? active : null;
}

export function follow(element, after) {
  if (!element || !window.EventSource) return;
  const only = element.dataset.live; // an order's id, or "all"
  let waiting = null;
  const soon = () => {
    waiting ??= setTimeout(async () => {
      await refresh(after).catch(() => {});
      waiting = null;
    }, PAUSE);
  };
  const source = new EventSource("/api/events");
  source.addEventListener("hello", () => show(element, true));
  source.addEventListener("order", (event) => {
    if (only === "all" || String(JSON.parse(event.data).order_id) === only) soon();
  });
  source.addEventListener("resync", soon);
  source.addEventListener("error", () => show(element, false));
  window.addEventListener("pagehide", () => source.close());
}

function show(element, on) {
  element.classList.toggle("on", on);
  element.textContent = on ? element.dataset.on : element.dataset.off;
}
