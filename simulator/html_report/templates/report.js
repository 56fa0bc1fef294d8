"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const dataOf = (id) => JSON.parse(document.getElementById(id).textContent);

  /** Make an element; texts go in as text, never as markup. */
  function make(name, attributes = {}, text = null, svg = false) {
    const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    return element;
  }
  const draw = (name, attributes, text = null) => make(name, attributes, text, true);

  // --- theme, copying, printing -----------------------------------------------------------------------------------

  const theme = document.getElementById("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? "Light colours" : "Dark colours"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();

  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("pre");
      getSelection().selectAllChildren(text); // what remains where the clipboard is out of reach
      let said = "Copied";
      try {
        await navigator.clipboard.writeText(text.textContent);
      } catch {
        said = document.execCommand("copy") ? "Copied" : "Selected";
      }
      button.textContent = said;
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });

  // --- tables -----------------------------------------------------------------------------------------------------

  const textOf = (cell) => (typeof cell === "string" ? cell : cell[0]);
  const numberOf = (cell) => parseFloat(textOf(cell).replaceAll(",", "").replace("<", ""));
  const words = new Intl.Collator("en", { numeric: true });

  function compare(a, b, number) {
    if (!number) return words.compare(textOf(a), textOf(b));
    return numberOf(a) - numberOf(b);
  }

  function filled(cell, column, head) {
    const element = make(head ? "th" : "td", head ? { scope: "row" } : {});
    if (column.class) element.className = column.class;
    if (typeof cell !== "string" && /^https?:\/\//i.test(cell[1])) {
      element.append(make("a", { href: cell[1], rel: "noreferrer" }, cell[0]));
    } else if (column.mark && cell) {
      element.append(make("span", { class: "badge", "data-kind": cell }, cell));
    } else {
      element.textContent = textOf(cell);
    }
    return element;
  }

  function table(box) {
    const { columns, rows, pageRows } = dataOf(box.dataset.table);
    const heads = [...box.querySelectorAll("thead th")];
    const [body, pager, search] = ["tbody", ".pager", "input[type=search]"].map((it) => box.querySelector(it));
    const haystacks = rows.map((row) => row.map(textOf).join(" ").toLowerCase());
    const state = { column: -1, down: false, needles: [], page: 0, group: box.querySelector(".groups input")?.value };

    function chosen() {
      const kept = rows.map((_, place) => place)
        .filter((place) => state.needles.every((needle) => haystacks[place].includes(needle)));
      if (state.column < 0) return kept;
      const number = columns[state.column].number;
      const known = (place) => !number || !Number.isNaN(numberOf(rows[place][state.column]));
      const order = kept.filter(known).sort((a, b) => {
        const way = compare(rows[a][state.column], rows[b][state.column], number) || a - b;
        return state.down ? -way : way;
      });
      return [...order, ...kept.filter((place) => !known(place))]; // what has no value comes last either way
    }

    function show() {
      const shown = (column) => !state.group || !column.group || column.group === state.group;
      const places = chosen();
      const pages = Math.max(1, Math.ceil(places.length / pageRows));
      state.page = Math.min(Math.max(state.page, 0), pages - 1);
      const first = state.page * pageRows;
      const page = places.slice(first, first + pageRows);
      body.replaceChildren(...page.map((place) => {
        const row = make("tr");
        columns.forEach((column, number) => {
          if (shown(column)) row.append(filled(rows[place][number], column, number === 0));
        });
        return row;
      }));
      heads.forEach((head, number) => {
        head.hidden = !shown(columns[number]);
        if (head.querySelector("button")) head.setAttribute("aria-sort", number !== state.column ? "none" : state.down ? "descending" : "ascending");
      });
      pager.hidden = rows.length <= pageRows && !state.needles.length;
      const [back, forth] = pager.querySelectorAll("button");
      back.hidden = forth.hidden = pages === 1;
      back.disabled = state.page === 0;
      forth.disabled = state.page === pages - 1;
      const range = places.length ? `${first + 1}–${first + page.length} of ` : "";
      const of = state.needles.length ? ` (of ${rows.length.toLocaleString("en")})` : "";
      pager.querySelector("span").textContent = `${range}${places.length.toLocaleString("en")} rows${of}`;
    }

    heads.forEach((head, number) => head.querySelector("button")?.addEventListener("click", () => {
      if (state.column !== number) Object.assign(state, { column: number, down: false });
      else if (!state.down) state.down = true;
      else state.column = -1; // as it was
      state.page = 0;
      show();
    }));
    search.addEventListener("input", () => {
      state.needles = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      state.page = 0;
      show();
    });
    for (const radio of box.querySelectorAll(".groups input")) {
      radio.addEventListener("change", () => { state.group = radio.value; show(); });
    }
    for (const button of pager.querySelectorAll("button")) {
      button.addEventListener("click", () => { state.page += Number(button.dataset.step); show(); });
    }
    const tools = box.querySelector(".tools");
    tools.hidden = false;
    search.parentElement.hidden = rows.length < 4;
    show();
  }

  // --- charts -----------------------------------------------------------------------------------------------------

  const looks = dataOf("looks");
  const MARKERS = ["o", "s", "^", "D", "v", "P", "X"];
  const DASHES = ["", "6 3", "2 2", "8 2 2 2"];
  const MARGIN = { top: 20, right: 20, bottom: 52, left: 68 };
  const NEAR = 28; // pixels at which a point is hovered

  /** Colour, marker and dash of each line; policies keep theirs, as in the plots. */
  function looksOf(names) {
    const taken = new Map();
    const policy = (name) => name.split(", ").find((part) => Object.hasOwn(looks.known, part));
    const used = new Set(names.map(policy).filter(Boolean).map((name) => looks.known[name].colour));
    const free = looks.palette.filter((colour) => !used.has(colour));
    const palette = free.length ? free : looks.palette;
    let next = 0;
    return names.map((name) => {
      const known = policy(name);
      const place = known ? taken.get(known) ?? 0 : next++;
      if (known) taken.set(known, place + 1);
      const turn = known ? place : Math.floor(place / palette.length);
      const colour = known ? looks.known[known].colour : palette[place % palette.length];
      return {
        colour: colour === "#000000" ? "var(--ink)" : colour,
        marker: known && !turn ? looks.known[known].marker : MARKERS[(turn + (known ? 0 : place)) % MARKERS.length],
        dash: known && !turn ? looks.known[known].dash : DASHES[turn % DASHES.length],
      };
    });
  }

  function marker(kind, x, y, colour) {
    const path = {
      s: "M-4-4H4V4H-4Z", "^": "M0-5L5 4H-5Z", v: "M0 5L5-4H-5Z", D: "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
      P: "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z",
      X: "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z",
    }[kind === "x" ? "X" : kind];
    const shape = path
      ? draw("path", { d: path, transform: `translate(${x} ${y})` })
      : draw("circle", { cx: x, cy: y, r: 4.5 });
    shape.style.fill = colour;
    return shape;
  }

  function shownNumber(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e7 || size < 1e-4) return value.toExponential(3);
    return Number(value.toPrecision(5)).toLocaleString("en", { maximumFractionDigits: 8 });
  }

  function ticks([low, high], log, most) {
    if (log) {
      const found = [];
      const digits = high - low < 2.5 ? [1, 2, 5] : [1];
      for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
        for (const digit of digits) {
          const place = power + Math.log10(digit);
          if (place >= low - 1e-9 && place <= high + 1e-9) found.push(place);
        }
      }
      if (found.length > 1) return found;
    }
    const rough = (high - low) / most;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((it) => it * unit >= rough) * unit;
    const found = [];
    for (let count = Math.ceil(low / step - 1e-9); count * step <= high + 1e-9 * step; count++) found.push(count * step);
    return found;
  }

  function explorer(box) {
    const data = dataOf(box.dataset.explorer);
    const part = (role) => box.querySelector(`[data-role=${role}]`);
    const [svg, tip, legend, said] = [".chart svg", ".tip", ".legend", "[role=status]"].map((it) => box.querySelector(it));
    const hiddenLines = new Set();
    let view = null; // {x: [low, high], y: [low, high]} in positions; null: everything
    let active = null; // the point that hover or keyboard has reached
    let scene = null; // what is drawn: {points, x, y, plot}

    function fill() {
      const groups = new Map();
      data.figures.forEach((figure, number) => {
        if (!groups.has(figure.group)) groups.set(figure.group, make("optgroup", { label: figure.group }));
        const unit = figure.unit ? ` (${figure.unit})` : "";
        groups.get(figure.group).append(make("option", { value: number }, figure.title + unit));
      });
      part("y").append(...groups.values());
      data.axes.forEach((axis, number) => part("x").append(make("option", { value: number, title: axis.path }, axis.title)));
      if (data.axes.length > 1) part("x").append(make("option", { value: -1 }, "variant"));
      const numeric = data.axes.findIndex((axis) => axis.numbers && new Set(axis.numbers).size > 1);
      part("x").value = numeric < 0 ? 0 : numeric;
      part("series").append(make("option", { value: -1 }, data.axes.length > 1 ? "all other axes" : "by value"));
      data.axes.forEach((axis, number) => part("series").append(make("option", { value: number }, axis.title)));
      part("series").append(make("option", { value: -2 }, "one colour"));
    }

    /** Points of the chosen figure: position, value, half interval, line. */
    function gather() {
      const figure = data.figures[part("y").value];
      const axis = data.axes[part("x").value] ?? { title: "variant", unit: "", texts: data.labels, numbers: null };
      const chosen = Number(part("series").value);
      const others = data.axes.filter((it) => it !== axis);
      const several = others.length && data.axes.includes(axis) ? others : [axis];
      const by = chosen === -2 ? [] : chosen >= 0 ? [data.axes[chosen]] : several; // axes that tell the lines apart
      const lineOf = (place) => by.map((it) => it.texts[place]).join(", ") || figure.title;
      const categories = axis.numbers ? null : [...new Set(axis.texts)];
      const points = [];
      figure.mean.forEach((value, place) => {
        if (value === null) return;
        const raw = axis.numbers ? axis.numbers[place] : categories.indexOf(axis.texts[place]);
        points.push({ place, raw, value, half: figure.half?.[place] ?? null, line: lineOf(place) });
      });
      return { figure, axis, categories, points, heading: by.map((it) => it.title).join(", ") };
    }

    function pad([low, high], share) {
      const room = high > low ? (high - low) * share : Math.abs(low) * 0.1 || 1;
      return [low - room, high + room];
    }

    function render() {
      const { figure, axis, categories, points, heading } = gather();
      const names = [...new Set(points.map((point) => point.line))];
      const styles = looksOf(names);
      part("logx").disabled = Boolean(categories) || points.some((point) => point.raw <= 0);
      part("logy").disabled = points.some((point) => point.value <= 0);
      const logX = part("logx").checked && !part("logx").disabled;
      const logY = part("logy").checked && !part("logy").disabled;
      const toX = (value) => (logX ? Math.log10(value) : value);
      const toY = (value) => (logY ? Math.log10(value) : value);
      const seen = points.filter((point) => !hiddenLines.has(point.line));
      for (const point of seen) {
        const dodge = categories && names.length > 1 && names.length < 12 && data.axes.length > 1
          ? 0.5 * ((names.indexOf(point.line) + 0.5) / names.length - 0.5) : 0;
        point.x = toX(point.raw) + dodge;
        point.y = toY(point.value);
        point.ends = point.half === null ? null
          : [point.value - point.half, point.value + point.half].map((it) => (logY && it <= 0 ? point.y : toY(it)));
      }
      const width = svg.clientWidth || 640;
      const height = svg.clientHeight || 400;
      const plot = { left: MARGIN.left, top: MARGIN.top, right: width - MARGIN.right, bottom: height - MARGIN.bottom };
      const all = (list) => (list.length ? [Math.min(...list), Math.max(...list)] : [0, 1]);
      const spread = all(seen.flatMap((point) => [point.y, ...(point.ends ?? [])]));
      if (!logY && spread[0] > 0 && (categories || spread[0] < 0.5 * spread[1])) spread[0] = 0;
      const whole = {
        x: categories ? [-0.6, categories.length - 0.4] : pad(all(seen.map((point) => point.x)), 0.05),
        y: pad(spread, 0.06),
      };
      if (spread[0] === 0) whole.y[0] = 0;
      const { x, y } = view ?? whole;
      const px = (value) => plot.left + ((value - x[0]) / (x[1] - x[0])) * (plot.right - plot.left);
      const py = (value) => plot.bottom - ((value - y[0]) / (y[1] - y[0])) * (plot.bottom - plot.top);

      const layers = [];
      const clip = `${box.dataset.explorer}-clip`;
      const clipPath = draw("clipPath", { id: clip });
      clipPath.append(draw("rect", { x: plot.left, y: plot.top - 6, width: plot.right - plot.left, height: plot.bottom - plot.top + 12 }));
      layers.push(clipPath);
      for (const value of ticks(y, logY, 6)) {
        layers.push(draw("line", { class: "grid", x1: plot.left, x2: plot.right, y1: py(value), y2: py(value) }));
        layers.push(draw("text", { x: plot.left - 8, y: py(value) + 4, "text-anchor": "end" }, shownNumber(logY ? 10 ** value : value)));
      }
      const room = (plot.right - plot.left) / 80;
      const places = categories
        ? categories.map((_, number) => number).filter((number) => number >= x[0] && number <= x[1])
        : ticks(x, logX, Math.min(room, 10));
      const letters = Math.max(5, Math.floor((plot.right - plot.left) / Math.max(places.length, 1) / 7));
      const every = Math.ceil(places.length / Math.max(room * 1.4, 1));
      places.forEach((value, number) => {
        if (number % every) return;
        const text = categories ? categories[value] : shownNumber(logX ? 10 ** value : value);
        const cut = categories && text.length > letters * every ? `${text.slice(0, letters * every - 1)}…` : text;
        layers.push(draw("line", { class: "axis", x1: px(value), x2: px(value), y1: plot.bottom, y2: plot.bottom + 5 }));
        layers.push(draw("text", { x: px(value), y: plot.bottom + 19, "text-anchor": "middle" }, cut));
      });
      layers.push(draw("line", { class: "axis", x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom }));
      const label = (title, unit) => (unit ? `${title} (${unit})` : title);
      layers.push(draw("text", { class: "title", x: (plot.left + plot.right) / 2, y: height - 12, "text-anchor": "middle" }, label(axis.title, axis.unit)));
      layers.push(draw("text", { class: "title", x: 0, y: 0, "text-anchor": "middle", transform: `translate(16 ${(plot.top + plot.bottom) / 2}) rotate(-90)` }, label(figure.title, figure.unit)));

      const inside = draw("g", { "clip-path": `url(#${clip})` });
      names.forEach((name, number) => {
        const style = styles[number];
        const line = seen.filter((point) => point.line === name).sort((a, b) => a.x - b.x);
        const once = new Set(line.map((point) => point.x)).size === line.length;
        if (once && line.length > 1 && !categories) { // no line where a position has several points
          const path = draw("polyline", { points: line.map((point) => `${px(point.x)},${py(point.y)}`).join(" "), fill: "none", "stroke-width": 1.8, "stroke-dasharray": style.dash || "none" });
          path.style.stroke = style.colour;
          inside.append(path);
        }
        for (const point of line) {
          if (point.ends) {
            const [low, high] = point.ends.map(py);
            const at = px(point.x);
            const bar = draw("path", { d: `M${at} ${low}V${high}M${at - 4} ${low}H${at + 4}M${at - 4} ${high}H${at + 4}`, "stroke-width": 1.4, fill: "none" });
            bar.style.stroke = style.colour;
            inside.append(bar);
          }
          inside.append(marker(style.marker, px(point.x), py(point.y), style.colour));
        }
      });
      layers.push(inside);
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.replaceChildren(...layers);
      const within = (point) => point.x >= x[0] && point.x <= x[1] && point.y >= y[0] - 1e-12 && point.y <= y[1] + 1e-12;
      const order = seen.filter(within)
        .sort((a, b) => names.indexOf(a.line) - names.indexOf(b.line) || a.x - b.x || a.place - b.place);
      scene = { points: order.map((point) => ({ ...point, px: px(point.x), py: py(point.y) })), figure, x, y, whole, plot };
      nameLines(names, styles, heading);
      point(null);
    }

    function nameLines(names, styles, heading) {
      const focused = [...legend.children].indexOf(document.activeElement);
      legend.replaceChildren(make("span", {}, heading), ...names.map((name, number) => {
        const button = make("button", { type: "button", "aria-pressed": !hiddenLines.has(name) });
        const swatch = draw("svg", { viewBox: "0 0 32 14", "aria-hidden": "true" });
        const line = draw("path", { d: "M2 7H30", "stroke-width": 1.8, "stroke-dasharray": styles[number].dash || "none" });
        line.style.stroke = styles[number].colour;
        swatch.append(line, marker(styles[number].marker, 16, 7, styles[number].colour));
        button.append(swatch, make("span", {}, name || "–"));
        button.addEventListener("click", () => {
          if (!hiddenLines.delete(name)) hiddenLines.add(name);
          render();
        });
        return button;
      }));
      if (focused >= 0) legend.children[focused]?.focus();
    }

    /** Point at one of the scene's points, by its number; null: at none. */
    function point(number, speak = false) {
      active = number;
      svg.querySelector(".ring")?.remove();
      tip.hidden = number === null;
      if (number === null) return;
      const it = scene.points[number];
      const unit = scene.figure.unit ? ` ${scene.figure.unit}` : "";
      const half = it.half === null ? "" : ` ± ${shownNumber(it.half)}`;
      const value = `${scene.figure.title}: ${shownNumber(it.value)}${half}${unit}`;
      svg.append(draw("circle", { class: "ring", cx: it.px, cy: it.py, r: 9 }));
      tip.replaceChildren(make("b", {}, value), ...data.axes.map((axis) => {
        const said = `${axis.title}: ${axis.texts[it.place]}`;
        return make("div", {}, axis.unit && !axis.texts[it.place].includes(axis.unit) ? `${said} ${axis.unit}` : said);
      }));
      const wide = svg.clientWidth;
      const left = it.px + 14 + tip.offsetWidth > wide ? it.px - 14 - tip.offsetWidth : it.px + 14;
      tip.style.left = `${Math.max(4, left)}px`;
      tip.style.top = `${Math.max(4, it.py - tip.offsetHeight - 10)}px`;
      if (speak) said.textContent = `${value}; ${data.labels[it.place]}`;
    }

    function zoom(factor) {
      const about = ([low, high]) => {
        const [middle, half] = [(low + high) / 2, ((high - low) / 2) * factor];
        return [middle - half, middle + half];
      };
      view = { x: about(scene.x), y: about(scene.y) };
      render();
    }
    function reset() {
      view = null;
      render();
    }

    const at = (event) => {
      const frame = svg.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    };
    let from = null; // where a drag began
    let rectangle = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch") return;
      from = at(event);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (from && Math.hypot(x - from[0], y - from[1]) > 6) {
        rectangle ??= svg.appendChild(draw("rect", { class: "box" }));
        for (const [key, value] of Object.entries({
          x: Math.min(x, from[0]), y: Math.min(y, from[1]), width: Math.abs(x - from[0]), height: Math.abs(y - from[1]),
        })) rectangle.setAttribute(key, value);
        return;
      }
      const distances = scene.points.map((it) => Math.hypot(it.px - x, it.py - y));
      const nearest = distances.length ? distances.indexOf(Math.min(...distances)) : -1;
      point(nearest >= 0 && distances[nearest] < NEAR ? nearest : null);
    });
    svg.addEventListener("pointerup", (event) => {
      const start = from;
      from = null;
      if (!rectangle) return;
      rectangle.remove();
      rectangle = null;
      const end = at(event);
      const { plot, x, y } = scene;
      const xs = [start[0], end[0]].map((it) => x[0] + ((it - plot.left) / (plot.right - plot.left)) * (x[1] - x[0]));
      const ys = [start[1], end[1]].map((it) => y[0] + ((plot.bottom - it) / (plot.bottom - plot.top)) * (y[1] - y[0]));
      if (Math.abs(end[0] - start[0]) < 8 || Math.abs(end[1] - start[1]) < 8) return;
      view = { x: xs.sort((a, b) => a - b), y: ys.sort((a, b) => a - b) };
      render();
    });
    svg.addEventListener("pointerleave", () => { if (!from && document.activeElement !== svg) point(null); });
    svg.addEventListener("pointercancel", () => { from = null; rectangle?.remove(); rectangle = null; });
    svg.addEventListener("dblclick", reset);
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25);
    }, { passive: false });
    svg.addEventListener("focus", () => { if (active === null && scene.points.length && svg.matches(":focus-visible")) point(0, true); });
    svg.addEventListener("blur", () => point(null));
    svg.addEventListener("keydown", (event) => {
      const count = scene.points.length;
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key in steps && count) point(active === null ? 0 : (active + steps[event.key] + count) % count, true);
      else if (event.key === "Home" && count) point(0, true);
      else if (event.key === "End" && count) point(count - 1, true);
      else if (event.key === "+" || event.key === "=") zoom(0.8);
      else if (event.key === "-") zoom(1.25);
      else if (event.key === "0") reset();
      else if (event.key === "Escape") point(null);
      else return;
      event.preventDefault();
    });
    part("in").addEventListener("click", () => zoom(0.8));
    part("out").addEventListener("click", () => zoom(1.25));
    part("reset").addEventListener("click", reset);
    for (const role of ["x", "y", "series", "logx", "logy"]) {
      part(role).addEventListener("change", () => { hiddenLines.clear(); reset(); });
    }
    fill();
    box.hidden = false;
    new ResizeObserver(() => render()).observe(svg);
  }

  document.querySelectorAll("[data-table]").forEach(table);
  document.querySelectorAll("[data-explorer]").forEach(explorer);
})();
