// The page of aka. It shows everything as text nodes: an id is never read as HTML.
"use strict";

const LOOKUP_LIMIT_MS = 20_000;
const STATUS_LIMIT_MS = 5_000;
const STATUS_EVERY_MS = 5_000;

const $ = (id) => document.getElementById(id);

/** An element with attributes and children; a text becomes a text node. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

// ------------------------------------------------------------------------------------------- ids

// What nobody sees: controls, formats (bidi among them), blanks but for the plain one, fillers.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?! )\p{Zs}|^ +| +$| {2,}/gu;

/** An id, with what cannot be seen spelled out, and with a direction of its own. */
function idText(id) {
  const shown = el("bdi", { class: "id" });
  let from = 0;
  for (const { 0: unseen, index } of id.matchAll(UNSEEN)) {
    shown.append(id.slice(from, index));
    for (const character of unseen) {
      const code = character.codePointAt(0);
      const name = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
      const words = code === 0x20 ? "blank" : name;
      shown.append(el("span", { class: "mark", title: "a character that cannot be seen" }, words));
    }
    from = index + unseen.length;
  }
  shown.append(id.slice(from));
  return shown;
}

/** An id that is looked up when it is clicked. */
function idButton(id) {
  const button = el("button", { type: "button", class: "id" }, idText(id));
  button.addEventListener("click", () => {
    $("first").value = id;
    $("second").value = "";
    lookUp();
  });
  return button;
}

// --------------------------------------------------------------------------------- times, numbers

const number = (value) => Number(value).toLocaleString("en");

function ago(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  for (const [unit, length] of units) {
    const count = Math.floor(seconds / length);
    if (count >= 1) return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

function duration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return seconds >= 0.001 ? `${(seconds * 1000).toFixed(0)} ms` : `${(seconds * 1e6).toFixed(0)} µs`;
}

function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit++) count /= 1024;
  return `${count >= 100 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

/** A moment of the database's clock, to the second in UTC. */
function clock(us) {
  const at = new Date(us / 1000);
  if (Number.isNaN(at.getTime())) return el("span", {}, "an impossible time");
  const text = at.toISOString();
  return el("time", { datetime: text, title: text }, `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`);
}

/** The same, and how long ago it was. */
function moment(us, more = "") {
  return el("span", {}, clock(us), " ", el("small", {}, ago(Date.now() / 1000 - us / 1e6), more));
}

function fact(name, ...value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
}

const place = ({ slot, shard }) => `${shard === null ? "no shard yet" : `shard ${shard}`}, slot ${slot}`;

// ---------------------------------------------------------------------------------------- lookups

/** What the server said no with, or what else went wrong, in words. */
class Trouble extends Error {
  constructor(message, reason = "") {
    super(message);
    this.reason = reason;
  }
}

async function ask(path, options, limitMs) {
  let response;
  try {
    const signal = AbortSignal.any([AbortSignal.timeout(limitMs), ...(options.signal ? [options.signal] : [])]);
    response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const slow = error.name === "TimeoutError";
    throw new Trouble(slow
      ? "The server did not answer in time. Try again; if it lasts, look at its log."
      : "The server cannot be reached. Check that it runs and that your connection stands, then try again.");
  }
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    const words = response.ok ? "an answer that is not aka's" : text.trim().slice(0, 300);
    throw new Trouble(`The server says: ${words || "nothing"} (HTTP ${response.status}).`);
  }
  if (response.ok) return answer;
  throw new Trouble(answer.error?.message ?? `HTTP ${response.status}`, answer.error?.reason);
}

async function fetchId(id, pageToken, signal) {
  if (!id.isWellFormed()) {
    throw new Trouble("This id holds half of a character, so it is not UTF-8 and is never an alias. Copy it again.");
  }
  const headers = { "content-type": "application/json" };
  const token = $("token").value.trim();
  // What is no ASCII is no token, and must not be a header.
  if (token) headers.authorization = `Bearer ${/^[!-~]+$/.test(token) ? token : "damaged"}`;
  const form = { project_id: $("project").value.trim(), distinct_id: id, page_token: pageToken };
  return ask("ui/lookup", { method: "POST", headers, body: JSON.stringify(form), signal }, LOOKUP_LIMIT_MS);
}

let underWay = null;

async function lookUp() {
  const [first, second] = [$("first").value, $("second").value];
  if (first === "") {
    underWay?.abort();
    show(el("p", { class: "alert" }, "Enter an id, exactly as it was sent."));
    $("first").focus();
    return;
  }
  underWay?.abort();
  const mine = underWay = new AbortController();
  $("result").classList.add("busy");
  $("result").setAttribute("aria-busy", "true");
  try {
    const answer = await fetchId(first, "", mine.signal);
    const other = second === "" ? null : await fetchId(second, "", mine.signal);
    if (mine === underWay) showAnswers(answer, other);
  } catch (trouble) {
    if (mine === underWay) showTrouble(trouble);
  }
}

function showTrouble(trouble) {
  if (trouble.name === "AbortError") return;
  show(el("p", { class: "alert" }, trouble.message));
  if (trouble.reason?.startsWith("CREDENTIALS")) {
    $("token-field").hidden = false;
    $("token").focus();
  }
}

function show(...parts) {
  $("result").classList.remove("busy");
  $("result").removeAttribute("aria-busy");
  $("result").replaceChildren(...parts);
}

function showAnswers(answer, other) {
  const cards = [];
  if (other) cards.push(el("div", { class: "card" }, comparison(answer, other)));
  cards.push(card(answer, other ? [other.id] : []));
  if (other && other.canonical_id !== answer.canonical_id) cards.push(card(other));
  show(...cards);
}

/** Whether two ids are one person, and since when. */
function comparison(one, two) {
  const verdict = (...words) => el("p", { class: "verdict" }, ...words);
  if (one.id === two.id) return verdict("You entered the same id twice.");
  if (one.canonical_id !== two.canonical_id) {
    return verdict(idText(one.id), " and ", idText(two.id), " are not joined. They are two people.");
  }
  const since = Math.max(...[one, two].map((answer) => answer.alias?.created_us ?? 0));
  const last = one.alias?.created_us === since ? one : two;
  const why = since === 0 ? null : el("p", {}, "They have been one since ", clock(since), ", when ", idText(last.id),
    " became an alias of ", idText(last.canonical_id), ".");
  const words = [idText(one.id), " and ", idText(two.id), " are one person, ", idText(one.canonical_id), "."];
  return el("div", {}, verdict(...words), why);
}

const SOURCES = {
  memory: "memory, which is fresh",
  database: "the database, because memory did not know it",
  stale: "memory, which is stale: the database does not answer",
  rule: "a rule, without asking anybody",
};

function card(answer, others = []) {
  const { alias, found, aliases, trouble } = answer;
  const facts = el("dl", {});
  if (alias) {
    facts.append(fact("Joined", moment(alias.created_us, isChanged(alias) ? "" : `, version ${alias.version}`)));
    if (isChanged(alias)) facts.append(fact("Last pointed elsewhere", moment(alias.updated_us, `, version ${alias.version}`)));
  }
  facts.append(fact("The answer came from", SOURCES[found.source] ?? found.source,
    el("small", {}, `${found.outcome}, ${duration(found.took_us / 1e6)}`)));
  if (answer.kind !== "never") facts.append(fact("The id lives in", place(answer.place)));
  if (alias) {
    facts.append(fact("Its person lives in", place(answer.canonical_place)));
  }
  const body = el("div", { class: "card" }, verdictOf(answer), facts);
  if (trouble) body.append(el("p", { class: "alert" }, trouble));
  if (aliases?.length) body.append(...listOf(answer, [answer.id, ...others]));
  return body;
}

function verdictOf({ id, kind, canonical_id: canonical, never, aliases, next_page_token: next }) {
  const verdict = (...words) => el("p", { class: "verdict" }, idText(id), ...words);
  const count = aliases === null ? "" : `${number(aliases.length)}${next ? " or more" : ""}`;
  switch (kind) {
    case "alias":
      return verdict(" is an alias of ", idButton(canonical), ".");
    case "canonical":
      return verdict(` is the person: ${count} other ${aliases.length === 1 ? "id stands" : "ids stand"} for it.`);
    case "never":
      return el("div", {}, verdict(" is never an alias."),
        el("p", {}, never, " Its events are stored under the id itself."));
    case "unlisted":
      return verdict(" is not an alias. Whether other ids stand for it could not be found out.");
    default:
      return el("div", {}, verdict(" is joined with nobody."), el("p", {},
        "It is no alias, and no id stands for it. If you expected one, check the spelling, upper and lower case, ",
        "blanks, and the project."));
  }
}

/** All aliases of a person, in the order in which they were joined. */
function listOf(answer, asked) {
  const [heads, rows] = [el("tr"), el("tbody")];
  const fill = () => {
    answer.aliases.sort((one, two) => one.created_us - two.created_us || (one.id < two.id ? -1 : 1));
    const changes = answer.aliases.some(isChanged);
    const names = ["Id", "Joined", ...(changes ? ["Last changed"] : []), "Version", "Lives in"];
    heads.replaceChildren(...names.map((name) => el("th", { scope: "col" }, name)));
    rows.replaceChildren(...answer.aliases.map((alias) => rowOf(alias, asked.includes(alias.id), changes)));
  };
  fill();
  const caption = el("caption", {}, "All ids that stand for ", idText(answer.canonical_id), ", in the order in which they were joined");
  const table = el("table", {}, caption, el("thead", {}, heads), rows);
  const who = el("p", { class: "faint" }, "Who joined them is in the audit trail: look there for CreateAlias with this alias_id.");
  if (!answer.next_page_token) return [table, who];
  const more = el("button", { type: "button", class: "more" }, "Show more");
  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      const next = await fetchId(answer.id, answer.next_page_token, underWay?.signal);
      answer.aliases.push(...(next.aliases ?? []));
      answer.next_page_token = next.next_page_token;
      fill();
      if (next.next_page_token) more.disabled = false; else more.remove();
    } catch (trouble) {
      more.disabled = false;
      if (trouble.name !== "AbortError") more.before(el("p", { class: "alert" }, trouble.message));
    }
  });
  return [table, more, who];
}

const isChanged = (alias) => alias.updated_us !== alias.created_us;

function rowOf(alias, asked, changes) {
  const changed = isChanged(alias) ? el("td", { "data-head": "changed" }, moment(alias.updated_us)) : el("td");
  const cells = [
    el("td", {}, idButton(alias.id)),
    el("td", { "data-head": "joined" }, moment(alias.created_us)),
    ...(changes ? [changed] : []),
    el("td", { "data-head": "version" }, alias.version),
    el("td", {}, place(alias)),
  ];
  return el("tr", asked ? { class: "asked", "aria-current": "true" } : {}, ...cells);
}

// ----------------------------------------------------------------------------------------- status

function state(good, words) {
  return el("span", { class: `state ${good ? "good" : "bad"}` }, words);
}

async function refresh() {
  try {
    showStatus(await ask("status", {}, STATUS_LIMIT_MS));
  } catch (trouble) {
    $("instance").replaceChildren(state(false, trouble.message));
  }
}

function showStatus(status) {
  const words = !status.serving ? "stopping" : status.ready ? "ready" : "warming up";
  $("instance").replaceChildren(state(status.serving && status.ready, words),
    ` · aka ${status.version} · cluster ${status.cluster}`);
  if (status.principals) $("token-field").hidden = false;
  const shards = status.shards.map((shard) => shardCard(shard, status));
  $("shards").replaceChildren(...(shards.length ? shards : [el("p", { class: "faint" }, "This server has reached no shard yet.")]));
  showMemory(status);
}

function shardCard(shard, status) {
  const { audit, filter, servers } = shard;
  const age = shard.staleness_seconds;
  const fresh = age !== null && age <= status.staleness_limit_seconds;
  const facts = el("dl", {},
    fact("Memory is behind by", age === null ? "never looked" : el("span", { class: fresh ? "" : "bad" }, duration(age)),
      el("small", {}, `answers up to ${duration(status.staleness_limit_seconds)}`)),
    fact("Last change applied", shard.applied_seq === null ? "none yet" : number(shard.applied_seq),
      el("small", {}, `${number(shard.changes)} since the start`)),
    fact("Aliases, about", filter ? number(filter.aliases) : "still counting",
      filter ? el("small", {}, `filter of ${bytes(filter.bytes)}`) : null),
    fact("Answers audited", audit.checked === 0 ? "none yet" : `${number(audit.checked)}, `,
      audit.wrong === 0 ? (audit.checked === 0 ? "" : "none wrong")
      : el("strong", { class: "bad" }, `${number(audit.wrong)} wrong`)));
  const title = el("div", { class: "title" }, el("h3", {}, `Shard ${shard.shard}`),
    state(shard.up, shard.up ? "up" : "down"), el("code", {}, shard.address));
  const card = el("div", { class: "card" }, title, facts);
  const error = shard.write_error ?? (shard.up ? null : shard.last_error);
  if (error) {
    card.append(el("p", { class: "alert" }, `${error.text} (${ago(error.seconds_ago)}). docs/mysql.md says what to do.`));
  }
  if (audit.wrong !== 0) {
    card.append(el("p", { class: "alert" }, "Memory said what the database does not. Keep the log, and report it."));
  }
  if (servers.length) card.append(serverTable(servers));
  return card;
}

function serverTable(servers) {
  const heads = ["Server", "Role", "For", "Behind by"].map((name) => el("th", { scope: "col" }, name));
  const rows = servers.map((server) => el("tr", {},
    el("td", {}, el("code", {}, server.address), server.in_use ? el("small", {}, "in use") : null),
    el("td", { "data-head": "role" }, server.role),
    el("td", { "data-head": "for" }, duration(server.role_seconds)),
    el("td", { "data-head": "behind by" }, server.lag === null ? "not known" : `${number(server.lag)} changes`)));
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
}

function showMemory({ cache, lookups }) {
  const total = Object.values(lookups).reduce((sum, count) => sum + count, 0);
  const used = Object.entries(lookups).filter(([, count]) => count > 0).sort((one, two) => two[1] - one[1]);
  const meter = el("meter", { min: 0, max: cache.budget_bytes || 1, value: cache.bytes, "aria-label": "cache used" });
  const facts = el("dl", {},
    fact("Cache", `${bytes(cache.bytes)} of ${bytes(cache.budget_bytes)}`, meter,
      el("small", {}, `${number(cache.entries)} entries`)),
    fact("Lookups since the start", number(total),
      el("small", {}, used.length ? "by how they ended:" : "nobody has asked yet")),
    ...used.map(([outcome, count]) => fact(outcome.replaceAll("_", " "), number(count),
      el("small", {}, `${((100 * count) / total).toFixed(1)} %`))));
  $("memory").replaceChildren(el("div", { class: "card" }, facts));
}

// ------------------------------------------------------------------------------------------ start

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  lookUp();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target instanceof HTMLInputElement) return;
  event.preventDefault();
  $("first").focus();
});
// Nobody looks at a hidden page.
setInterval(() => document.hidden || refresh(), STATUS_EVERY_MS);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
refresh();
