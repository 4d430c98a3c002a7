// Stacked bars, a day each. Drawn as SVG by the view; the figures are also in a table beside it.

import { html, useEffect, useRef, useState } from "./html.js";

const HEIGHT = 220;
const LEFT = 52;
const BOTTOM = 22;
const TOP = 8;

export function Plot({ days, series, text }) {
  const place = useRef(null);
  const [width, setWidth] = useState(720);
  const [chosen, setChosen] = useState(null);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.max(260, entry.contentRect.width)));
    watch.observe(place.current);
    return () => watch.disconnect();
  }, []);
  const sums = days.map((day) => series.reduce((sum, one) => sum + (one.byDay.get(day) ?? 0), 0));
  const steps = stepsTo(Math.max(...sums, 0));
  const most = steps.at(-1) || 1;
  const step = (width - LEFT) / days.length;
  const bar = Math.max(1, step * (step > 8 ? 0.72 : 0.9));
  const y = (value) => HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - TOP);
  const every = Math.max(1, Math.ceil(64 / step));
  const shown = chosen ?? days.length - 1;
  const onMove = (move) => {
    const x = move.clientX - place.current.getBoundingClientRect().left - LEFT;
    setChosen(Math.min(Math.max(Math.floor(x / step), 0), days.length - 1));
  };
  return html`
    <div class="plot" ref=${place} onPointerMove=${onMove} onPointerLeave=${() => setChosen(null)}>
      <svg role="img" aria-label="Usage by day and project; the tables below have the figures"
        width=${width} height=${HEIGHT} viewBox=${`0 0 ${width} ${HEIGHT}`}>
        ${steps.map(
          (value) => html`
            <line key=${value} class="grid" x1=${LEFT} x2=${width} y1=${y(value)} y2=${y(value)} />
            <text key=${`t${value}`} class="axis" x=${LEFT - 8} y=${y(value) + 4} text-anchor="end">${text(value)}</text>
          `,
        )}
        ${days.map((day, at) => {
          let below = 0;
          const x = LEFT + at * step + (step - bar) / 2;
          return html`
            <g key=${day} class=${`bar${at === chosen ? " chosen" : ""}`}>
              ${series.map((one) => {
                const value = one.byDay.get(day) ?? 0;
                if (!value) return null;
                below += value;
                const height = Math.max(0.5, (value / most) * (HEIGHT - BOTTOM - TOP));
                return html`<rect key=${one.key} class=${`s-${one.at}`} x=${x} y=${y(below)} width=${bar} height=${height} />`;
              })}
              ${
                (days.length - 1 - at) % every === 0 && x - LEFT > 10
                  ? html`<text class="axis" x=${x + bar / 2} y=${HEIGHT - 5} text-anchor="middle">${day.slice(5)}</text>`
                  : null
              }
            </g>
          `;
        })}
      </svg>
      <p class="legend">
        <strong>${days[shown]}</strong> ${text(sums[shown])}
        ${series
          .filter((one) => one.byDay.get(days[shown]))
          .map(
            (one) => html`<span key=${one.key}><span class=${`swatch s-${one.at}`} aria-hidden="true"></span>${one.name} ${text(one.byDay.get(days[shown]))}</span>`,
          )}
      </p>
    </div>
  `;
}

// Round values of the axis, from nothing to at least the most.
function stepsTo(most) {
  if (!most) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough);
  return [0, 1, 2, 3, 4].map((one) => one * size).filter((one, at) => at === 0 || one - size < most);
}
