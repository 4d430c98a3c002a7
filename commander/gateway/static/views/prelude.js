// The text that the Commander's next prompt would be given, exactly as it would be.

import { changeAddress, draw, here } from "../navigation.js";
import { card, h } from "../page.js";
import { get } from "../state.js";

export const prelude = {
  title: "Prelude",

  async draw() {
    const isRecap = here().parameters.get("recap") === "true";
    const found = await get("/prelude", { recap: isRecap && "true" });
    const onchange = (change) => changeAddress({ recap: change.target.checked ? "true" : "" });
    const box = h("input", { type: "checkbox", id: "recap", checked: isRecap, onchange });
    const size = `${found.text.length} characters, after event ${found.after_event_id}`;
    return [
      h("h1", {}, "What the Commander gets with its next prompt"),
      h(
        "div",
        { class: "filters" },
        h("label", {}, box, "show the recap, which a new conversation gets"),
        h("span", { class: "note" }, size),
      ),
      found.text
        ? h("pre", { id: "prelude" }, found.text)
        : card([], "Nothing is new, so the prompt would get nothing."),
    ];
  },

  live: () => draw(),
};
