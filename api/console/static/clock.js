// The banner's simulated time goes on between two page loads.

export function keepTime(element) {
  if (!element) return;
  const [sim, rate] = [Date.parse(element.dateTime), Number(element.dataset.rate)];
  const began = performance.now();
  const shown = new Intl.DateTimeFormat(document.documentElement.lang, {
    dateStyle: "medium", timeStyle: "short", timeZone: element.dataset.zone,
  });
  const tick = () => {
    element.textContent = shown.format(new Date(sim + (performance.now() - began) * rate));
  };
  tick();
  setInterval(tick, 1000);
}
