// The console's own script. Without it every list, detail and act works; with it pages are read again when something changes, times can
// be the browser's, and the overview has charts. It makes no markup of what it is told: html comes from the server alone.
"use strict";

(() => {
  const stale = document.getElementById("stale");
  const since = document.getElementById("stale-since");
  const quiet = 25000; // the server hints every 10 s at least
  let heard = Date.now();
  let missed = false;

  // zoned writes times of day in the zone of the page: the plant's, UTC or the browser's.
  const zoned = (parts) => new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: document.documentElement.dataset.clock || undefined, ...parts });
  const moment = zoned({ second: undefined, timeZoneName: "short" });

  // refresh reads the page again.
  const refresh = () => htmx.trigger(document.body, "hint");

  const cut = () => {
    if (!missed) {
      missed = true;
      since.textContent = moment.format(heard);
      stale.hidden = false;
    }
  };
  const hear = () => {
    heard = Date.now();
    if (missed) {
      missed = false;
      stale.hidden = true;
    }
  };

  const live = document.querySelector("[hx-sse\\:connect]");
  if (live) {
    let first = true;
    document.body.addEventListener("htmx:sse:after:connection", () => {
      const lost = missed || !first; // what was hinted at in between
      first = false;
      hear();
      if (lost) refresh();
    });
    const again = () => {
      if (!first) return;
      cut();
      htmx.ajax("GET", live.getAttribute("hx-get"), { source: live });
    };
    live.addEventListener("htmx:finally:request", () => { if (first) setTimeout(again, 3000); }); // nobody else connects what never was
    document.body.addEventListener("htmx:sse:error", cut);
    document.body.addEventListener("htmx:sse:close", cut);
    document.body.addEventListener("hint", hear);
    setInterval(() => { if (Date.now() - heard > quiet) cut(); }, 1000);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  }

  // local writes times in the zone of the browser, where the reader has chosen that.
  const local = (root) => {
    if (document.documentElement.dataset.zone !== "browser") return;
    const form = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
    for (const t of root.querySelectorAll("time[datetime]")) t.textContent = form.format(new Date(t.getAttribute("datetime"))).replace(",", "");
  };
  local(document);
  document.body.addEventListener("htmx:after:swap", () => local(document));

  // The charts.
  const box = document.querySelector("[data-figures]");
  const clock = zoned(), day = zoned({ day: "numeric", month: "short", year: "numeric", timeZoneName: "short" });
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = async () => {
    const answer = await fetch(box.dataset.figures);
    if (!answer.ok) return;
    const f = await answer.json();
    const data = [f.at, f.in];
    const series = [{ label: "Time", value: (_, s) => (s == null ? "–" : day.format(s * 1000)) }, { label: "in/s", stroke: colour("--sapChart_OrderedColor_3"), width: 2, scale: "rate" }];
    f.links.forEach((l, i) => {
      data.push(l.out, l.queued);
      series.push({ label: l.link + " out/s", stroke: colour("--sapChart_OrderedColor_" + (2 * i + 1)), width: 2, scale: "rate" });
      series.push({ label: l.link + " queued", stroke: colour("--sapChart_OrderedColor_" + (2 * i + 2)), width: 2, dash: [6, 3] });
    });
    const axis = { stroke: colour("--sapTextColor"), grid: { stroke: colour("--sapList_BorderColor"), width: 1 }, ticks: { stroke: colour("--sapList_BorderColor") } };
    if (box.chart && box.chart.series.length === series.length) {
      box.chart.setData(data);
      return;
    }
    box.replaceChildren();
    box.chart = new uPlot({
      width: box.clientWidth - 16, height: 240, series, scales: { x: { time: true } }, tzDate: (s) => uPlot.tzDate(new Date(s * 1000), clock.resolvedOptions().timeZone),
      axes: [{ ...axis, space: 80, values: (_, at) => at.map((s) => clock.format(s * 1000)), label: (u) => (u.data[0].length ? "until " + day.format(u.data[0].at(-1) * 1000) : "") }, { ...axis, label: "queued" }, { ...axis, side: 1, scale: "rate", label: "a second", grid: { show: false } }],
    }, data, box);
  };
  if (box && window.uPlot) {
    draw();
    setInterval(() => { if (!document.hidden) draw(); }, 5000);
    window.addEventListener("resize", () => { if (box.chart) box.chart.setSize({ width: box.clientWidth - 16, height: 240 }); });
  }

  // Passkeys: what the server asks goes to the authenticators, and what they answer into the form.
  const known = window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON;
  for (const form of known ? document.querySelectorAll("form[data-passkey]") : []) {
    form.hidden = false;
    document.querySelector("[data-no-passkey]")?.remove();
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      const told = form.querySelector(".told");
      told.textContent = "";
      try {
        const asked = await (await fetch(form.dataset.passkey, { method: "POST" })).json();
        if (asked.trouble) throw new Error(asked.trouble);
        const answer = asked.user
          ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(asked) })
          : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(asked) });
        form.elements.answer.value = JSON.stringify(answer.toJSON());
        form.submit();
      } catch (bad) {
        told.textContent = "It was not done: " + bad.message;
      }
    });
  }

  // A scanner types a number and Enter, whatever has the focus: what it types belongs into the field for it.
  const scan = document.getElementById("scan");
  if (scan) {
    document.addEventListener("keydown", (e) => {
      const typing = e.target.closest("input, select, textarea, button, a, summary");
      if (!typing && e.key.length === 1 && !e.ctrlKey && !e.metaKey && !e.altKey) scan.focus();
    });
  }

  // The rules of a mapping: numbers beside the lines, and the line of the rule that made what one points at.
  const rules = document.getElementById("rules");
  if (rules) {
    const gutter = document.querySelector(".gutter");
    const number = () => {
      const lines = rules.value.split("\n").length;
      while (gutter.children.length < lines) {
        const n = document.createElement("span");
        n.textContent = gutter.children.length + 1;
        n.id = "L" + n.textContent;
        gutter.append(n);
      }
      while (gutter.children.length > lines) gutter.lastChild.remove();
      rules.rows = lines;
    };
    const mark = () => {
      for (const n of gutter.children) n.classList.remove("bad");
      for (const a of document.querySelectorAll("#tried [data-bad]")) gutter.children[a.dataset.line - 1]?.classList.add("bad");
    };
    const point = (e) => {
      const a = e.target.closest?.("#tried [data-line]");
      for (const n of gutter.querySelectorAll(".at")) n.classList.remove("at");
      if (a) gutter.children[a.dataset.line - 1]?.classList.add("at");
    };
    const offered = document.getElementById("complete");
    const words = [...document.querySelectorAll("#words [data-word]")].map((w) => ({ text: w.dataset.word, note: w.querySelector("dd").textContent }));
    const plainWord = (text) => text.replaceAll("?", "").toLowerCase();
    let taking = -1; // the word that Tab takes
    const begun = () => { // the word before the caret
      const line = rules.value.slice(0, rules.selectionStart).split("\n").pop();
      return { line, word: rules.selectionStart === rules.selectionEnd ? line.match(/[A-Za-z_][\w.?]*$/)?.[0] ?? "" : "" };
    };
    const choose = (n) => {
      taking = n;
      [...offered.children].forEach((o, i) => o.setAttribute("aria-selected", i === n));
      rules.setAttribute("aria-activedescendant", offered.children[n].id);
    };
    const hide = () => {
      offered.hidden = true;
      taking = -1;
      rules.removeAttribute("aria-activedescendant");
    };
    const take = (n) => {
      const { word } = begun();
      const text = offered.children[n].dataset.text;
      hide();
      rules.setRangeText(text, rules.selectionStart - word.length, rules.selectionEnd, "end");
      rules.dispatchEvent(new Event("input", { bubbles: true }));
      hide();
    };
    const offer = () => {
      const { line, word } = begun();
      const start = plainWord(word);
      const fit = start.length < 2 ? [] : words.filter((w) => plainWord(w.text).startsWith(start) || plainWord(w.text).split(".").pop().startsWith(start)).slice(0, 8);
      if (fit.length === 0 || (fit.length === 1 && fit[0].text.trim() === word)) return hide();
      offered.replaceChildren(...fit.map((w, i) => {
        const o = document.createElement("li");
        o.id = "complete-" + i;
        o.setAttribute("role", "option");
        o.dataset.text = w.text;
        o.textContent = w.text + "  " + w.note;
        o.addEventListener("mousedown", (e) => { e.preventDefault(); take(i); });
        return o;
      }));
      const above = rules.value.slice(0, rules.selectionStart).split("\n").length;
      offered.style.top = rules.offsetTop + above * parseFloat(getComputedStyle(rules).lineHeight) + 6 + "px";
      offered.style.left = "calc(" + rules.offsetLeft + "px + " + Math.max(0, line.length - word.length - 1) + "ch)";
      offered.hidden = false;
      choose(0);
    };
    rules.addEventListener("input", offer);
    rules.addEventListener("blur", hide);
    rules.addEventListener("keydown", (e) => {
      if (offered.hidden) return;
      const n = offered.children.length;
      if (e.key === "Tab" && !e.shiftKey) take(taking);
      else if (e.key === "ArrowDown") choose((taking + 1) % n);
      else if (e.key === "ArrowUp") choose((taking + n - 1) % n);
      else if (e.key === "Escape") hide();
      else return;
      e.preventDefault();
    });
    rules.addEventListener("input", number);
    document.body.addEventListener("htmx:after:swap", mark);
    document.addEventListener("mouseover", point);
    document.addEventListener("focusin", point);
    document.addEventListener("click", (e) => {
      const a = e.target.closest?.("#tried [data-line]");
      if (!a) return;
      e.preventDefault();
      const before = rules.value.split("\n").slice(0, a.dataset.line - 1).join("\n");
      const at = before.length + (a.dataset.line > 1 ? 1 : 0) + Math.max(0, a.dataset.col - 1);
      rules.focus();
      rules.setSelectionRange(at, at);
      gutter.children[a.dataset.line - 1]?.scrollIntoView({ block: "nearest" });
    });
  }
})();
