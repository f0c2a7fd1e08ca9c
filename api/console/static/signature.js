// A signature pad: pointer strokes become SVG path data in the form's hidden field.

export function signaturePads(root) {
  for (const canvas of root.querySelectorAll("canvas[data-signature]")) pad(canvas);
}

function pad(canvas) {
  const field = canvas.form ?? canvas.closest("form");
  const target = field.elements.signature;
  const pen = canvas.getContext("2d");
  let strokes = [];

  const resize = () => {
    const ratio = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    pen.scale(ratio, ratio);
    pen.lineWidth = 2.2;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = "#16202a";
    draw();
  };
  const draw = () => {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    for (const stroke of strokes) {
      pen.beginPath();
      stroke.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.stroke();
    }
    target.value = path(strokes, canvas);
  };
  const at = (event) => [event.offsetX, event.offsetY];

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    strokes.push([at(event)]);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    strokes.at(-1).push(at(event));
    draw();
  });
  canvas.addEventListener("pointerup", draw);
  field.querySelector("[data-clear]")?.addEventListener("click", () => {
    strokes = [];
    draw();
  });
  resize();
}

// Scaled to a box of 320 × 120, one decimal: small enough to keep, large enough to recognise.
function path(strokes, canvas) {
  const [sx, sy] = [320 / canvas.clientWidth, 120 / canvas.clientHeight];
  return strokes
    .filter((stroke) => stroke.length > 1)
    .map((stroke) => "M" + stroke.map(([x, y]) => `${(x * sx).toFixed(1)} ${(y * sy).toFixed(1)}`).join(" L"))
    .join(" ");
}
