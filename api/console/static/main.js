// The page works without this; with it, boards update themselves and forms say at once what is wrong.
import { follow } from "./live.js";
import { keepTime } from "./clock.js";
import { enhanceForms } from "./forms.js";
import { signaturePads } from "./signature.js";
import { fillPositions } from "./position.js";
import { poll } from "./poll.js";

export function start(root) {
  enhanceForms(root);
  signaturePads(root);
  fillPositions(root);
}

start(document);
keepTime(document.querySelector("[data-clock]"));
follow(document.querySelector("[data-live]"), start);
poll(document, start);
