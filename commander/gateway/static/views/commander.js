// The Commander's inbox: what its next prompt will be shown, exactly.

import { useData } from "../data.js";
import { html } from "../html.js";
import { Command, Empty, Problem, Waiting } from "../parts.js";
import { changeParameters, link, route } from "../router.js";

// The labels of a prelude: #12 is a briefing, #e40 an event.
const LABEL = /(#e?\d{1,12}\b)/;

export function Commander() {
  const isRecap = route.value.parameters.recap === "true";
  const { data, error } = useData("/prelude", { recap: isRecap && "true" });
  const choose = (value) => changeParameters({ recap: value });
  return html`
    <h1>The Commander's next prompt</h1>
    <p class="note">What is shown to it with your next prompt, exactly. Texts of sessions are quoted.</p>
    <div class="chips" role="group" aria-label="What is shown">
      <button type="button" class="chip" id="delta" aria-pressed=${String(!isRecap)}
        onClick=${() => choose("")}>What is new</button>
      <button type="button" class="chip" id="recap" aria-pressed=${String(isRecap)}
        onClick=${() => choose("true")}>The recap that a new conversation gets</button>
      ${data?.text && html`<span class="note">${data.text.length.toLocaleString("en")} characters, after event ${data.after_event_id}</span>`}
    </div>
    ${error && html`<${Problem} error=${error} />`}
    ${!data && !error && html`<${Waiting} rows=${8} />`}
    ${data?.text && html`<pre id="prelude" tabindex="0">${linked(data.text)}</pre>`}
    ${
      data && !data.text
        ? html`<${Empty} title="Nothing is new, so the prompt will be shown nothing.">
            <p>The Commander is a Claude Code session of Fleet's own folder. Open it with
              <${Command} text="fleet commander" /></p>
          <//>`
        : null
    }
  `;
}

function linked(text) {
  return text.split(LABEL).map((part, at) =>
    at % 2 ? html`<a href=${addressOf(part)} data-link>${part}</a>` : part,
  );
}

function addressOf(label) {
  return label[1] === "e" ? link("event", label.slice(2)) : link("briefing", label.slice(1));
}
