"use strict";
// Draws the parts of a report that answer to the reader. Names reach the page as text alone.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.rows;
  const byId = (id) => document.getElementById(id);

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  // JSON has no NaN and no Infinity: they come as text.
  const number = (value) => (value === null ? null : Number(String(value).replace("inf", "Infinity")));
  function short(value) {
    if (value === null || value === undefined) return "–";
    const n = number(value);
    if (Number.isNaN(n)) return "NaN";
    if (!Number.isFinite(n)) return n > 0 ? "∞" : "−∞";
    if (n === 0) return "0";
    const size = Math.abs(n);
    return (size >= 1e-3 && size < 1e5 ? Number(n.toPrecision(4)).toString() : n.toExponential(2))
      .replace("-", "−");
  }
  const long = (value) => (Number.isFinite(number(value)) ? String(Number(number(value).toPrecision(7))) : short(value));
  const percent = (share) => {
    const n = number(share);
    if (!Number.isFinite(n)) return "beyond any limit";
    if (n < 10) return `${(100 * n).toPrecision(2)} % of its limit`.replace(/^(\d+)\.0 /, "$1 ");
    return `${d3.format(",.3~r")(n)} × its limit`;
  };
  const ratio = (error, limit) => {
    const [e, l] = [number(error), number(limit)];
    if (e === null) return null;
    if (Number.isNaN(e) || Number.isNaN(l)) return Infinity;
    if (l > 0) return l === Infinity ? 0 : e / l;
    return e > 0 ? Infinity : 0;
  };

  const isMeasured = (row) => row.alone !== null || row.end_to_end !== null;

  // --- the layer in question ---
  let chosen = -1;
  const watchers = [];
  function choose(index, move) {
    if (!(index >= 0 && index < rows.length)) return;
    chosen = index;
    const panel = byId("layer");
    panel.replaceChildren(...described(rows[index]));
    panel.scrollTop = 0;
    for (const watch of watchers) watch(index, move);
  }

  function described(row) {
    const names = { equal: "equal", fault: "differs", consequence: "differs after a fault",
      unproven: "not proven", unverified: "not verified" };
    const parts = [
      element("div", { class: "bar" }, element("h2", {}, "Layer"),
        control("◀", "the map before", -1), control("▶", "the next map", 1)),
      element("p", { class: "title" }, row.layer),
      element("p", { class: "sub" }, [row.type, row.blob === row.layer ? "" : `blob ${row.blob}`,
        row.shape.length ? row.shape.join(" × ") : ""].filter(Boolean).join(" · ")),
      element("span", { class: `badge ${row.kind}` }, names[row.kind]),
    ];
    if (row.verdict !== "ok") parts.push(element("p", {}, row.verdict));
    parts.push(...measured(row, "Alone, fed with the reference's inputs", row.alone, row.alone_limit));
    parts.push(...measured(row, "End to end", row.end_to_end, row.end_to_end_limit));
    parts.push(numbers(row));
    if (row.by_channel.length > 1 && !row.details)
      parts.push(heading(`Largest error by channel (${row.channels})`), bars([[row.by_channel, "difference"]], 46));
    parts.push(...detailed(row), ...place(row), ...parameters(row));
    return parts;
  }
  const heading = (text) => element("h3", {}, text);
  function control(text, title, step) {
    const made = element("button", { title, "aria-label": title }, text);
    made.addEventListener("click", () => choose(chosen + step, true));
    return made;
  }
  function measured(row, name, error, limit) {
    if (error === null) return [];
    const share = ratio(error, limit);
    const gauge = element("i", { style: `width:${Math.min(100, Math.max(share > 0 ? 1 : 0, 100 * share))}%` });
    const free = number(limit) === Infinity;
    return [element("div", { class: "measure" }, name, element("b", {}, short(error)),
      element("div", { class: share > 1 ? "gauge over" : "gauge" }, gauge),
      element("small", {}, free ? "no limit of its own here" : `${percent(share)}, ${short(limit)}`))];
  }
  function numbers(row) {
    const list = element("dl", { class: "numbers", id: "numbers" });
    if (!isMeasured(row)) return list;
    const add = (name, value) => value !== null && list.append(element("dt", {}, name), element("dd", {}, value));
    add("signal", short(row.signal));
    add("cosine", cosine(row.cosine));
    add("cosine after ReLU", cosine(row.relu_cosine));
    add("l2 distance", short(row.l2));
    add("PSNR", number(row.psnr) === Infinity ? "∞" : `${short(row.psnr)} dB`);
    Object.entries(row.more).forEach(([name, value]) => add(name, number(value) === Infinity ? "∞" : short(value)));
    add("worst element", row.worst.length ? `[${row.worst.join(", ")}]` : null);
    add("there", row.values.length ? `${long(row.values[0])}, needs ${long(row.values[1])}` : null);
    add("channels that err most", row.channels ? `${row.wrong_channels} of ${row.channels}` : null);
    add("NaN here / reference", row.nan.some(Boolean) ? row.nan.join(" / ") : null);
    add("infinite here / reference", row.inf.some(Boolean) ? row.inf.join(" / ") : null);
    add("time in the engine", row.seconds === null ? null : `${short(1e3 * row.seconds)} ms`);
    return list;
  }
  const cosine = (value) => (Number.isNaN(number(value)) ? "–" : number(value).toFixed(8));

  function detailed(row) {
    const found = row.details;
    if (!found) return [];
    const how = found.fed ? "alone" : "end to end";
    const parts = [heading(`Values, ${how}: ${short(found.low)} to ${short(found.high)}`),
      bars([[found.reference, "reference"], [found.mine, "mine"]], 90), keys("reference", "engine")];
    if (found.channels.length > 1) {
      const each = found.group > 1 ? `, ${found.group} in a bar` : "";
      parts.push(heading(`Largest error by channel, ${how}${each}`), bars([[found.channels, "difference"]], 90));
    }
    if (found.pictures.length) {
      const names = ["reference", "engine", "difference"];
      parts.push(heading(`Plane [${found.plane.join(", ")}] of the worst element`),
        element("div", { class: "pictures" }, ...found.pictures.map((one, i) => element("figure", {},
          picture(one, i), element("figcaption", {}, names[i],
            element("br"), `${short(one.low)} to ${short(one.high)}`)))));
    }
    return parts;
  }
  function keys(first, second) {
    return element("p", { class: "keys" }, element("i", { class: "k-reference" }), first,
      element("i", { class: "k-mine" }), second);
  }
  function picture(one, index) {
    const canvas = element("canvas", { width: one.width, height: one.height });
    const context = canvas.getContext("2d"), image = context.createImageData(one.width, one.height);
    const bytes = atob(one.grey), paint = index === 2 ? d3.interpolateInferno : d3.interpolateViridis;
    for (let i = 0; i < bytes.length; i++) {
      const colour = d3.rgb(paint(bytes.charCodeAt(i) / 255));
      image.data.set([colour.r, colour.g, colour.b, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }
  function bars(series, height) {
    const count = series[0][0].length, most = d3.max(series, ([values]) => d3.max(values, finite)) || 1;
    const svg = d3.create("svg").attr("class", "chart").attr("viewBox", `0 0 ${count} ${height}`)
      .attr("preserveAspectRatio", "none").attr("height", height);
    for (const [values, name] of series)
      svg.append("g").attr("class", name).selectAll("rect").data(values).join("rect")
        .attr("x", (_, i) => i + 0.08).attr("width", 0.84)
        .attr("y", (v) => height * (1 - Math.min(1, finite(v, most) / most)))
        .attr("height", (v) => height * Math.min(1, finite(v, most) / most))
        .append("title").text((v, i) => `${i}: ${short(v)}`);
    return svg.node();
  }
  const finite = (value, other) => {
    const n = number(value);
    return Number.isFinite(n) ? n : (typeof other === "number" && other > 1e-300 && Number.isFinite(other) ? other : 0);
  };

  function place(row) {
    const parts = [];
    if (row.module || row.file) parts.push(heading("Where it comes from"));
    if (row.module) parts.push(element("div", { class: "mono" }, row.module));
    if (row.file) parts.push(element("div", { class: "mono" }, `${row.file}:${row.line}`));
    if (row.source) parts.push(element("pre", { id: "source" }, row.source));
    if (row.rules.length) parts.push(element("p", { class: "none" }, `made by ${row.rules.join(", ")}`));
    if (row.record) parts.push(heading("Its parameters in the net"), element("pre", {}, row.record));
    return parts;
  }
  function parameters(row) {
    const found = row.parameters;
    if (!found) return [];
    const line = (side, one) => element("tr", {}, ...[side, one.name].map((t) => element("td", {}, t)),
      element("td", {}, one.shape.join("×")), ...[one.low, one.high, one.norm].map((v) =>
        element("td", { class: "number" }, short(v))));
    const head = element("tr", {}, ...["side", "weights", "shape", "least", "most", "norm"].map((t) =>
      element("th", {}, t)));
    const body = [...found.reference.map((one) => line("reference", one)),
      ...found.engine.map((one) => line("engine", one))];
    const parts = [heading("Weights on both sides"), element("table", {}, head, ...body)];
    found.differences.forEach((difference, i) => {
      if (difference !== 0) parts.push(element("p", {}, difference === null ? `blob ${i} has other shapes`
        : `blob ${i} differs by up to ${short(difference)}`));
    });
    return parts;
  }

  // --- the net ---
  function drawNet() {
    const frame = byId("net");
    if (!frame) return;
    const svg = d3.select(frame).select("svg"), world = svg.select(".world");
    const [, , width, height] = svg.attr("viewBox").split(" ").map(Number);
    const fit = () => Math.min(frame.clientWidth / width, svg.node().clientHeight / height);
    const zoom = d3.zoom().extent([[0, 0], [width, height]])
      .scaleExtent([0.5, Math.max(4, 2.5 / fit())])
      .on("zoom", ({ transform }) => {
        world.attr("transform", transform);
        svg.classed("far", transform.k * fit() < 0.42);
      });
    svg.call(zoom).on("dblclick.zoom", null);
    const nodes = world.selectAll(".node").each(function () {
      this.rows = data.nodes[Number(this.dataset.node)];
    }).on("click", function () { if (this.rows.length) choose(this.rows[0], false); });
    const of = new Map();
    nodes.each(function () { for (const row of this.rows) of.set(row, this); });
    function show(row) {
      const box = of.get(row) && of.get(row).querySelector("rect");
      if (!box) return;
      const k = Math.max(1, 0.85 / fit());
      const [x, y] = ["x", "y"].map((name) => Number(box.getAttribute(name)));
      svg.transition().duration(250).call(zoom.transform, d3.zoomIdentity
        .translate(width / 2, height / 2).scale(k).translate(-x - 84, -y - 20));
    }
    watchers.push((row, move) => {
      nodes.classed("chosen", function () { return this.rows.includes(row); });
      if (move) show(row);
    });
    byId("fit").addEventListener("click", () => svg.transition().duration(250).call(zoom.transform, d3.zoomIdentity));
    byId("closer").addEventListener("click", () => show(chosen));
    svg.call(zoom.transform, d3.zoomIdentity);
    return { nodes, svg, tiny: () => fit() < 0.42 };
  }

  function search(drawn) {
    const field = byId("search");
    if (!field) return;
    const list = byId("hits");
    const found = () => {
      const text = field.value.trim().toLowerCase();
      return text ? d3.range(rows.length).filter((i) =>
        [rows[i].layer, rows[i].type, rows[i].blob, rows[i].module].some((t) => t.toLowerCase().includes(text))) : [];
    };
    const pick = (index) => { list.replaceChildren(); choose(index, true); };
    field.addEventListener("input", () => {
      const hits = found(), set = new Set(hits);
      list.replaceChildren(...hits.slice(0, 30).map((index) => {
        const button = element("button", {}, `${rows[index].layer} · ${rows[index].type}`);
        button.addEventListener("click", () => pick(index));
        return element("li", {}, button);
      }));
      if (!drawn) return;
      drawn.svg.classed("searching", field.value.trim() !== "");
      drawn.nodes.classed("hit", function () { return this.rows.some((row) => set.has(row)); });
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && found().length) pick(found()[0]);
      if (event.key === "Escape") { field.value = ""; field.dispatchEvent(new Event("input")); }
    });
  }

  // --- error along depth ---
  function drawDepth() {
    const frame = byId("depth");
    if (!frame || !rows.length) return;
    const height = 230, margin = { left: 52, right: 14, top: 10, bottom: 26 }, least = 1e-4;
    const limits = (row) => [row.alone_limit, row.end_to_end_limit];
    // Without limits, as for quantized maps, errors are shown as shares of the signal.
    const free = rows.every((row) => limits(row).every((limit) => number(limit) === Infinity));
    const bounds = free ? (row) => [row.signal, row.signal] : limits;
    const shares = rows.map((row) => [ratio(row.alone, bounds(row)[0]), ratio(row.end_to_end, bounds(row)[1])]);
    if (free) byId("share-of").textContent = "signal";
    const all = shares.flat().filter((v) => v !== null && Number.isFinite(v));
    const most = Math.max(10, d3.max(all) || 1) * 2;
    const at = (share) => Math.min(most, Math.max(least, share));
    function draw() {
      const width = Math.max(320, frame.clientWidth);
      const x = d3.scaleLinear([0, Math.max(1, rows.length - 1)], [margin.left, width - margin.right]);
      const y = d3.scaleLog([least, most], [height - margin.bottom, margin.top]);
      const svg = d3.create("svg").attr("class", "chart").attr("viewBox", `0 0 ${width} ${height}`).attr("height", height);
      const ticks = d3.range(-4, Math.log10(most), Math.max(1, Math.ceil((Math.log10(most) + 4) / 6))).map((p) => 10 ** p);
      svg.append("g").attr("transform", `translate(${margin.left},0)`)
        .call(d3.axisLeft(y).tickValues(ticks).tickFormat((v) => (v < 1e-3 || v > 1e3 ? v.toExponential(0) : `${v}`)).tickSize(-(width - margin.left - margin.right)))
        .call((g) => g.select(".domain").remove());
      svg.append("g").attr("transform", `translate(0,${height - margin.bottom})`)
        .call(d3.axisBottom(x).ticks(Math.min(rows.length, 10)).tickFormat(d3.format("d")));
      if (!free) svg.append("line").attr("class", "limit").attr("x1", margin.left).attr("x2", width - margin.right).attr("y1", y(1)).attr("y2", y(1));
      if (!free) svg.append("text").attr("class", "limit-name").attr("x", width - margin.right).attr("y", y(1) - 5).attr("text-anchor", "end").text("limit");
      [["alone", 0], ["end", 1]].forEach(([name, which]) => svg.append("path").attr("class", name)
        .attr("d", d3.line().defined((s) => s[which] !== null).x((_, i) => x(i)).y((s) => y(at(s[which])))(shares)));
      svg.append("g").selectAll("circle").data(rows).join("circle").attr("class", (row) => row.kind)
        .attr("cx", (_, i) => x(i)).attr("cy", (row, i) => y(at(isMeasured(row) ? Math.max(...shares[i].map((s) => s || 0)) : most)))
        .attr("r", (row) => (row.kind === "fault" ? 5 : !isMeasured(row) ? 0 : rows.length > 600 ? 1.6 : 2.8))
        .append("title").text((row) => row.layer);
      const now = svg.append("line").attr("class", "now").attr("y1", margin.top).attr("y2", height - margin.bottom).attr("x1", -9).attr("x2", -9);
      const mark = (index) => now.attr("x1", x(index)).attr("x2", x(index));
      svg.style("cursor", "pointer").on("click", (event) =>
        choose(Math.max(0, Math.min(rows.length - 1, Math.round(x.invert(d3.pointer(event)[0])))), true));
      frame.replaceChildren(svg.node());
      if (chosen >= 0) mark(chosen);
      return mark;
    }
    let mark = draw(), width = frame.clientWidth;
    watchers.push((index) => mark(index));
    new ResizeObserver(() => {
      if (frame.clientWidth !== width) { width = frame.clientWidth; mark = draw(); }
    }).observe(frame);
  }

  // --- the table ---
  function wireTable() {
    const lines = [...document.querySelectorAll("tr[data-row]")];
    for (const line of lines) {
      line.tabIndex = 0;
      const pick = () => choose(Number(line.dataset.row), true);
      line.addEventListener("click", pick);
      line.addEventListener("keydown", (event) => event.key === "Enter" && pick());
    }
    let last = null;
    watchers.push((index) => {
      if (last) last.classList.remove("chosen");
      last = lines[index];
      if (last) last.classList.add("chosen");
    });
    const filter = byId("filter");
    if (filter) filter.addEventListener("change", () => {
      for (const line of lines)
        line.hidden = filter.value === "failing" && line.classList.contains("equal");
    });
  }

  const drawn = drawNet();
  search(drawn);
  drawDepth();
  wireTable();
  choose(data.first, Boolean(drawn && drawn.tiny() && data.differs));
  document.documentElement.dataset.ready = "yes";
})();
