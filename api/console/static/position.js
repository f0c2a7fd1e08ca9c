// The check-in form carries the phone's position when its owner allows it.

export function fillPositions(root) {
  for (const form of root.querySelectorAll("form[data-position]")) ask(form);
}

function ask(form) {
  const says = form.querySelector("[data-position-says]");
  if (!navigator.geolocation) return;
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => {
      form.elements.latitude.value = coords.latitude;
      form.elements.longitude.value = coords.longitude;
      says.textContent = says.dataset.found;
    },
    () => (says.textContent = says.dataset.missing),
    { enableHighAccuracy: true, timeout: 10000, maximumAge: 60000 },
  );
}
